//! A machine without an H.264 decoder says which package brings one. Alone in its file: it hides
//! the decoders from the whole process.

mod common;

use crate::common::sources::*;
use gstreamer as gst;
use gstreamer::prelude::*;

#[test]
fn a_clip_without_its_decoder_names_the_package() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    if !make_clip(&path, 10, (64, 48)) {
        return;
    }
    let decoders =
        gst::ElementFactory::factories_with_type(gst::ElementFactoryType::DECODER, gst::Rank::NONE);
    for decoder in decoders.iter().filter(|factory| factory.name().contains("264")) {
        decoder.set_rank(gst::Rank::NONE);
    }
    let told = refusal(path.to_str().unwrap());
    assert!(told.contains("needs avdec_h264: apt-get install gstreamer1.0-libav"), "{told}");
}
