//! What the engines are shown: photos one by one, or the frames of a labelled stream, made anew
//! whenever they are needed.
//!
//! A frame follows from its number alone, and so does what is measured on it: `change` looks back
//! at the frame before, whichever thread showed that one. Not for asking engines or for times.

use crate::features::{self, Features, Glimpse, Scratch};
use crate::frame::{Frame, Framing};
use crate::ground_truth::Photo;
use crate::lab::stream::{Held, Reel};
use crate::source::{self, SourceError};

/// All that is shown, in order.
pub(super) struct Show {
    photos: Vec<Photo>,
    reel: Option<Reel>,
}

impl Show {
    /// The photos, or a stream that was laid out for them.
    pub(super) fn new(photos: Vec<Photo>, reel: Option<Reel>) -> Self {
        Self { photos, reel }
    }

    /// How many frames there are; of photos, one each.
    pub(super) fn len(&self) -> usize {
        self.reel.as_ref().map_or(self.photos.len(), Reel::frames)
    }

    /// True for a stream.
    pub(super) fn is_stream(&self) -> bool {
        self.reel.is_some()
    }

    /// The photo in frame `at` and its place among the photos.
    pub(super) fn photo(&self, at: usize) -> (usize, &Photo) {
        let place = self.reel.as_ref().and_then(|reel| reel.shot(at)).map_or(at, |shot| shot.photo);
        (place, &self.photos[place])
    }

    /// When frame `at` is captured, ms since the stream began; `None` for photos.
    pub(super) fn at_ms(&self, at: usize) -> Option<f64> {
        Some(self.reel.as_ref()?.shot(at)?.at_ms)
    }
}

/// One thread's way to the frames. Keeps the photo that is held and what the measurements remember
/// of the frame before.
pub(super) struct Projector<'s> {
    show: &'s Show,
    held: Option<(usize, Held, u32, u32)>,
    scratch: Scratch,
    /// The frame that `scratch` saw last.
    measured: Option<usize>,
}

impl<'s> Projector<'s> {
    pub(super) fn new(show: &'s Show) -> Self {
        Self { show, held: None, scratch: Scratch::default(), measured: None }
    }

    /// Frame `at`. [`SourceError::Unreadable`] if its photo is.
    pub(super) fn frame(&mut self, at: usize) -> Result<Frame, SourceError> {
        let (place, photo) = self.show.photo(at);
        let Some(shot) = self.show.reel.as_ref().and_then(|reel| reel.shot(at)) else {
            return source::decode_image(&photo.path);
        };
        if self.held.as_ref().is_none_or(|held| held.0 != place) {
            self.held = None; // one decoded photo at a time
            let decoded = source::decode_image(&photo.path)?;
            let (width, height) = (decoded.layout().width, decoded.layout().height);
            self.held = Some((
                place,
                Held::new(decoded.plane(0).to_vec(), width as usize, height as usize),
                width,
                height,
            ));
        }
        let unreadable = |reason: String| SourceError::Unreadable {
            origin: "the stream".into(),
            file: photo.name.to_string().into(),
            reason,
        };
        let Some((_, held, width, height)) = &mut self.held else {
            return Err(unreadable("not held".into()));
        };
        let seen = held.seen(&shot.view);
        Frame::from_rgb(seen.into(), *width, *height, Some(photo.name.to_string().into()))
            .map_err(|error| unreadable(error.to_string()))
    }

    /// Frame `at` and what the daemon would measure on it, coming from the frame before. A photo
    /// has no frame before it: `change` is 0. Before a stream's frame is the newest whose photo can
    /// be read.
    pub(super) fn measured(
        &mut self,
        at: usize,
    ) -> Result<(Frame, Features, Glimpse), SourceError> {
        if !self.show.is_stream() {
            let frame = self.frame(at)?;
            let (features, glimpse) =
                features::extract(&frame, &Framing::default(), &mut Scratch::default());
            return Ok((frame, features, glimpse));
        }
        if at == 0 || self.measured != Some(at - 1) {
            self.look_back(at);
        }
        let frame = self.frame(at).inspect_err(|_| self.measured = None)?;
        let (features, glimpse) = features::extract(&frame, &Framing::default(), &mut self.scratch);
        self.measured = Some(at);
        Ok((frame, features, glimpse))
    }

    /// Makes the frame before `at` again, so that `change` is what it would have been coming from
    /// there.
    fn look_back(&mut self, at: usize) {
        (self.scratch, self.measured) = (Scratch::default(), None);
        let mut before = at;
        while let Some(earlier) = before.checked_sub(1) {
            if let Ok(frame) = self.frame(earlier) {
                features::extract(&frame, &Framing::default(), &mut self.scratch);
                return;
            }
            // All frames of an unreadable photo are.
            before = self
                .show
                .reel
                .as_ref()
                .and_then(|reel| reel.shot(earlier))
                .map_or(earlier, |shot| shot.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::NAMES;
    use crate::lab::stream::Stream;

    #[test]
    fn what_is_measured_does_not_depend_on_where_a_thread_begins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let photo =
            |name: &str| Photo { path: folder.path().join(name), name: name.into(), class: 0 };
        for (name, shade) in [("a.png", 40_u8), ("b.png", 200), ("d.png", 90)] {
            let picture = image::RgbImage::from_fn(40, 30, |x, y| {
                image::Rgb([shade, (x * 5) as u8, (y * 7) as u8])
            });
            picture.save(folder.path().join(name)).expect("written");
        }
        std::fs::write(folder.path().join("c.png"), "no picture").expect("written");
        let stream = Stream { hold_s: [0.3, 0.6], still: 0.5, ..Stream::default() };
        let show =
            Show::new(["a.png", "b.png", "c.png", "d.png"].map(photo).into(), Some(stream.reel(4)));
        let all = |begin_anew: &dyn Fn(usize) -> bool| {
            let mut projector = Projector::new(&show);
            let measure = |at| {
                if begin_anew(at) {
                    projector = Projector::new(&show);
                }
                projector.measured(at).ok().map(|(_, features, glimpse)| (features, glimpse))
            };
            (0..show.len()).map(measure).collect::<Vec<_>>()
        };
        let in_order = all(&|_| false);
        assert_eq!(in_order, all(&|_| true));
        assert_eq!(in_order, all(&|at| at % 3 == 0));
        let change = NAMES.iter().position(|name| *name == "change").expect("a feature");
        let changed = in_order
            .iter()
            .flatten()
            .filter(|(features, _)| features.values[change] > 0.05)
            .count();
        assert_eq!(changed, 2, "between three readable photos");
        assert_eq!(
            in_order.iter().filter(|row| row.is_none()).count(),
            (0..show.len()).filter(|at| show.photo(*at).0 == 2).count()
        );
        assert!(show.at_ms(3).is_some_and(|ms| (ms - 300.0).abs() < 1e-9));
    }
}
