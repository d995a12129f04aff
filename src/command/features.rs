//! `squint features`: what the daemon measures on pictures, printed.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::cli::FeaturesArgs;
use crate::error::{Error, Kind};
use crate::escape::Escaped;
use crate::features::{self, NAMES, Scratch};
use crate::frame::Framing;
use crate::{print, source};

/// Prints the features of each picture. Pictures that cannot be read are named; the others are
/// still measured.
pub(crate) fn features(args: &FeaturesArgs) -> Result<(), Error> {
    let mut out = print::page();
    let mut unreadable = false;
    for path in &args.images {
        let frame = match source::decode_image(path) {
            Ok(frame) => frame,
            Err(error) => {
                print::tell(format_args!("squint: {error}"));
                unreadable = true;
                continue;
            }
        };
        let (measured, _) = features::extract(&frame, &Framing::default(), &mut Scratch::default());
        let layout = frame.layout();
        let pairs = NAMES.iter().zip(measured.values);
        if args.json {
            let values: Map<String, Value> =
                pairs.map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            let record = json!({
                "file": path.display().to_string(),
                "width": layout.width,
                "height": layout.height,
                "schema": features::schema(),
                "features": values,
            });
            writeln!(print::raw(), "{record}").map_err(Error::io(print::STDOUT))?;
        } else {
            writeln!(
                out,
                "{} ({}x{}, {})",
                Escaped(path.display()),
                layout.width,
                layout.height,
                features::schema()
            )
            .map_err(Error::io(print::STDOUT))?;
            for (name, value) in pairs {
                writeln!(out, "  {name:<26}{value:>12.4}").map_err(Error::io(print::STDOUT))?;
            }
        }
    }
    if unreadable { Err(Error::Told(Kind::Missing)) } else { Ok(()) }
}
