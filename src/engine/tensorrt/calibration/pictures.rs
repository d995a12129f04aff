//! The photos that int8 is calibrated with: found, split, and turned into tensors exactly as the
//! daemon turns frames.
//!
//! An edge module: lists folders and decodes photos, through the same code as every other photo.
//! Every fifth photo is held out: it is never fed to TensorRT, and what came of the calibration is
//! judged on those ([`super::agreement`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::manifest::{InputSpec, View};
use crate::engine::preprocess::Preprocessor;
use crate::files;
use crate::frame::Framing;
use crate::source::{Foreign, decode_image, is_image};

/// Fewer photos are refused.
pub const LEAST: usize = 100;
/// Fewer are warned of.
pub const ADVISED: usize = 500;
/// Most that are taken.
pub const MOST: usize = 100_000;
/// One in so many is held out.
const HELD_OUT: usize = 5;
/// Longest list that is read, bytes.
const MAX_LIST: u64 = 32 << 20;
/// Deepest sub-folder that is looked into.
const MAX_DEPTH: usize = 4;

/// Why there are no photos to calibrate with.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// The folder or the list cannot be read.
    #[error("{}: {reason}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A line of the list names no photo.
    #[error("{}: line {line}: {what}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// There are too few.
    #[error("{}: {count} pictures, calibration needs at least {LEAST} and better {ADVISED}, of what the camera sees", path.display())]
    TooFew {
        /// The folder or the list.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// There are too many.
    #[error("{}: more than {MOST} pictures; {ADVISED} to 1000 are enough", path.display())]
    TooMany {
        /// The folder or the list.
        path: PathBuf,
    },
}

/// Photos, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pictures {
    /// For TensorRT.
    pub fed: Vec<PathBuf>,
    /// For the judgement.
    pub held_out: Vec<PathBuf>,
}

impl Pictures {
    /// The photos of a folder, sub-folders included, sorted by path; or those that a text file
    /// lists, one a line, relative to the file's own folder, `#` before what is no photo. Refused
    /// below [`LEAST`].
    pub fn gather(place: &Path) -> Result<Self, PicturesError> {
        let mut all = Vec::new();
        if place.is_dir() {
            let mut foreign = Foreign::default();
            walk(place, place, 0, &mut all, &mut foreign)?;
            all.sort_unstable();
            if let Some(told) = foreign.sentence() {
                log::warn!("{}: {told}", place.display());
            }
        } else {
            let text = files::text(place, MAX_LIST)
                .map_err(|reason| PicturesError::Io { path: place.to_owned(), reason })?;
            let folder = place.parent().unwrap_or(Path::new(""));
            for (line, name) in (1..)
                .zip(text.lines())
                .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            {
                let path = folder.join(name.trim());
                if !path.is_file() {
                    let what = format!("{} is no file", path.display());
                    return Err(PicturesError::Line { path: place.to_owned(), line, what });
                }
                take(place, path, &mut all)?;
            }
        }
        match all.len() {
            LEAST.. => Ok(Self::split(all)),
            count => Err(PicturesError::TooFew { path: place.to_owned(), count }),
        }
    }

    fn split(all: Vec<PathBuf>) -> Self {
        let mut split = Self { fed: Vec::new(), held_out: Vec::new() };
        for (at, path) in all.into_iter().enumerate() {
            let side = if (at + 1) % HELD_OUT == 0 { &mut split.held_out } else { &mut split.fed };
            side.push(path);
        }
        split
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.fed.len() + self.held_out.len()
    }

    /// What to say of their number; `None` if there are enough.
    pub fn warning(&self) -> Option<String> {
        let count = self.count();
        (count < ADVISED)
            .then(|| format!("{count} pictures are few: {ADVISED} to 1000 give steadier scales"))
    }
}

/// Takes everything with the name of a picture, also what will turn out to be none: that is told of
/// when it is decoded.
fn walk(
    place: &Path,
    folder: &Path,
    depth: usize,
    all: &mut Vec<PathBuf>,
    foreign: &mut Foreign,
) -> Result<(), PicturesError> {
    let refuse = |reason| PicturesError::Io { path: folder.to_owned(), reason };
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(refuse)?);
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(place, &path, depth + 1, all, foreign)?;
        } else if is_image(&path) {
            take(place, path, all)?;
        } else {
            foreign.note(&path);
        }
    }
    Ok(())
}

fn take(place: &Path, path: PathBuf, all: &mut Vec<PathBuf>) -> Result<(), PicturesError> {
    if all.len() == MOST {
        return Err(PicturesError::TooMany { path: place.to_owned() });
    }
    all.push(path);
    Ok(())
}

/// Tensors of photos, one after the other: what the builder's calibrator asks for.
pub struct Feed<'a> {
    preprocessor: Preprocessor,
    paths: std::slice::Iter<'a, PathBuf>,
    fed: usize,
    unreadable: Vec<String>,
}

impl<'a> Feed<'a> {
    /// Of `paths`, for a network that takes `input` and is shown `view`.
    pub fn new(paths: &'a [PathBuf], input: &InputSpec, view: &View) -> Self {
        Self {
            preprocessor: Preprocessor::new(input, view),
            paths: paths.iter(),
            fed: 0,
            unreadable: Vec::new(),
        }
    }

    /// Values of one photo's tensor.
    pub fn values(&self) -> usize {
        self.preprocessor.values()
    }

    /// Fills `tensor` with the next photo's; false when there are no more. A photo that cannot be
    /// read is passed over and noted, and so is every photo if `tensor` has another length than
    /// [`Self::values`].
    pub fn next_into(&mut self, tensor: &mut [f32]) -> bool {
        for path in &mut self.paths {
            let prepared =
                decode_image(path).map_err(|error| error.to_string()).and_then(|frame| {
                    self.preprocessor
                        .prepare(&frame, &Framing::default(), tensor)
                        .map_err(|error| error.to_string())
                });
            match prepared {
                Ok(()) => {
                    self.fed += 1;
                    return true;
                }
                Err(reason) => self.unreadable.push(reason),
            }
        }
        false
    }

    /// Fills `batch`, as many tensors as it has room for; how many were filled. Fewer than asked
    /// only at the end.
    pub fn next_batch(&mut self, batch: &mut [f32]) -> usize {
        let values = self.values().max(1);
        batch
            .chunks_exact_mut(values)
            .map_while(|tensor| self.next_into(tensor).then_some(()))
            .count()
    }

    /// How many were turned into tensors so far.
    pub fn fed(&self) -> usize {
        self.fed
    }

    /// Why others were not, a line each.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::manifest::{Channels, Filter, TensorLayout};

    fn input() -> InputSpec {
        let (mean, std) = ([127.0; 3], [128.0; 3]);
        let (layout, channels, filter) = (TensorLayout::Nchw, Channels::Rgb, Filter::Bilinear);
        InputSpec { name: None, width: 4, height: 3, layout, channels, mean, std, filter }
    }

    fn photo(path: &Path, grey: u8) {
        image::RgbImage::from_pixel(8, 6, image::Rgb([grey; 3])).save(path).unwrap();
    }

    #[test]
    fn every_fifth_picture_is_held_out_and_never_fed() {
        let all: Vec<PathBuf> = (0..11).map(|at| PathBuf::from(at.to_string())).collect();
        let Pictures { fed, held_out } = Pictures::split(all);
        assert_eq!(held_out, [PathBuf::from("4"), PathBuf::from("9")]);
        assert!(fed.len() == 9 && held_out.iter().all(|path| !fed.contains(path)));
    }

    #[test]
    fn too_few_pictures_are_refused_and_few_warned_of_with_the_figures() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("class")).unwrap();
        for at in 0..LEAST {
            let text = Pictures::gather(folder.path()).unwrap_err().to_string();
            assert!(
                text.contains(&format!(
                    ": {at} pictures, calibration needs at least 100 and better 500"
                )),
                "{text}"
            );
            std::fs::write(
                folder
                    .path()
                    .join(if at % 2 == 0 { "class" } else { "" })
                    .join(format!("{at:03}.png")),
                "x",
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("readme.txt"), "x").unwrap();
        let pictures = Pictures::gather(folder.path()).unwrap();
        assert_eq!((pictures.fed.len(), pictures.held_out.len()), (80, 20));
        assert_eq!(
            pictures.warning().unwrap(),
            "100 pictures are few: 500 to 1000 give steadier scales"
        );
        let enough =
            Pictures { fed: vec![PathBuf::new(); 400], held_out: vec![PathBuf::new(); 100] };
        assert_eq!(enough.warning(), None);
    }

    #[test]
    fn a_list_keeps_its_order_and_a_line_without_a_picture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..LEAST).rev().map(|at| format!("{at}.png")).collect();
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "x").unwrap());
        let list = folder.path().join("list.txt");
        std::fs::write(&list, format!("# made by hand\n\n{}\n", names.join("\n"))).unwrap();
        assert_eq!(Pictures::gather(&list).unwrap().fed[0], folder.path().join("99.png"));
        std::fs::write(&list, "0.png\nnowhere.png\n").unwrap();
        assert!(Pictures::gather(&list).unwrap_err().to_string().contains("line 2: "));
        assert!(Pictures::gather(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn tensors_are_the_daemons_and_what_cannot_be_read_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        photo(&at("0.png"), 127);
        std::fs::write(at("1.png"), "no picture").unwrap();
        photo(&at("2.png"), 255);
        photo(&at("3.png"), 0);
        let paths = ["0.png", "1.png", "2.png", "3.png"].map(at);
        let mut feed = Feed::new(&paths, &input(), &View::default());
        let mut batch = vec![9.0; 2 * feed.values()];
        assert_eq!((feed.values(), feed.next_batch(&mut batch)), (36, 2));
        assert!(
            batch[..36].iter().all(|value| *value == 0.0)
                && batch[36..].iter().all(|value| *value == 1.0)
        );
        let mut alone = vec![0.0; 36];
        let mut preprocessor = Preprocessor::new(&input(), &View::default());
        preprocessor
            .prepare(&decode_image(&paths[3]).unwrap(), &Framing::default(), &mut alone)
            .unwrap();
        assert_eq!(feed.next_batch(&mut batch), 1, "the last one alone");
        assert_eq!(batch[..36], alone);
        assert_eq!((feed.next_batch(&mut batch), feed.fed()), (0, 3));
        assert!(feed.unreadable()[0].contains("1.png"), "{:?}", feed.unreadable());
    }
}
