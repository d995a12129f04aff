//! Reads a profile file. Whatever is wrong with it is an error that names it.
//!
//! Every byte of the rows and of the keys is covered by a sum, which is checked before anything is
//! decoded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use sha2::{Digest, Sha256};

use super::columns::{self, Values};
use super::write::{SEAL, seal};
use super::{EngineHead, FORMAT, GROUP, Head, Row, StoredOrigin, footer, pages};
use crate::engine::{MAX_ENGINES, hash};
use crate::files;
use crate::lab::LabError;
use crate::lab::profile::{Case, Origin, Profile, Seen};

/// Bytes behind the footer: its length and the magic word.
const TAIL: u64 = 8;
/// Most memory that the rows of a profile may take when all of it is read, bytes: some eight
/// million answers.
const MAX_MEMORY: u64 = 2 << 30;
/// What to do about a file that cannot be used.
const ADVICE: &str = "make it again with `squint profile`";

/// An open profile file whose sum is right.
pub struct Reader {
    path: PathBuf,
    inner: SerializedFileReader<File>,
    /// The same file, for a look at its pages.
    bytes: File,
    head: Head,
}

/// Reads a whole profile and checks that it fits together; `origin.sha256` is that of the file.
///
/// Errors with [`LabError::File`] if it is not there, cut off, damaged, no profile or of another
/// version, and as [`Profile::check`].
pub fn read(path: &Path) -> Result<Profile, LabError> {
    let reader = Reader::open(path)?;
    let Head { origin, classes, class_names, engines, .. } = reader.head().clone();
    let would = reader
        .rows_told()
        .saturating_mul((size_of::<Case>() + engines.len() * size_of::<Option<Seen>>()) as u64);
    if would > MAX_MEMORY {
        let (would, most) = (would >> 20, MAX_MEMORY >> 20);
        let reason = format!(
            "its rows take {would} MiB of memory, at most {most} are allowed; profile fewer photos or engines"
        );
        return Err(LabError::File { path: path.to_owned(), reason });
    }
    let mut cases = Vec::new();
    let mut looks = vec![Vec::new(); engines.len()];
    for group in 0..reader.groups() {
        for row in reader.rows(group)? {
            cases.push(row.case);
            looks.iter_mut().zip(row.looks).for_each(|(column, look)| column.push(look));
        }
    }
    let engines =
        engines.into_iter().zip(looks).map(|(engine, looks)| engine.column(looks)).collect();
    let profile = Profile { origin, classes, class_names, engines, cases };
    let wrong = |error: LabError| LabError::File {
        path: path.to_owned(),
        reason: format!("{error}; {ADVICE}"),
    };
    profile.check().map_err(wrong)?;
    Ok(profile)
}

impl Reader {
    /// Opens a file and checks its sum, its version and its columns.
    pub fn open(path: &Path) -> Result<Self, LabError> {
        guarded(|| open(path))
            .map_err(|reason| LabError::File { path: path.to_owned(), reason })
            .map(|(inner, bytes, head)| Self { path: path.to_owned(), inner, bytes, head })
    }

    /// Everything but the rows.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.inner.num_row_groups()
    }

    /// Rows of all groups, as the footer says.
    fn rows_told(&self) -> u64 {
        let groups = self.inner.metadata().row_groups().iter();
        groups
            .map(|group| u64::try_from(group.num_rows()).unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add)
    }

    /// The rows of one group, at most [`super::GROUP`].
    pub fn rows(&self, group: usize) -> Result<Vec<Row>, LabError> {
        guarded(|| self.decode(group))
            .map_err(|reason| LabError::File { path: self.path.clone(), reason })
    }

    fn decode(&self, group: usize) -> Result<Vec<Row>, String> {
        let damaged = |error| format!("row group {group} is damaged ({error}); {ADVICE}");
        let group = self.inner.get_row_group(group).map_err(|error| damaged(error.to_string()))?;
        let count = usize::try_from(group.metadata().num_rows())
            .map_err(|error| damaged(error.to_string()))?;
        if count > GROUP {
            return Err(damaged(format!("{count} rows, at most {GROUP}")));
        }
        let ids: Vec<&str> = self.head.engines.iter().map(|engine| engine.id.as_str()).collect();
        let specs = columns::specs(ids.iter().copied());
        let mut all = Vec::with_capacity(specs.len());
        for (place, spec) in specs.iter().enumerate() {
            let wrong = |error: String| damaged(format!("column `{}`: {error}", spec.name));
            self.chunk(group.metadata().column(place).byte_range())
                .and_then(|chunk| pages::check(&chunk))
                .map_err(wrong)?;
            let reader =
                group.get_column_reader(place).map_err(|error| damaged(error.to_string()))?;
            all.push(take(reader, count, spec.required).map_err(wrong)?);
        }
        columns::decode(all, &ids, count).map_err(damaged)
    }

    /// The bytes of all pages of a column of a row group.
    fn chunk(&self, (start, length): (u64, u64)) -> Result<Vec<u8>, String> {
        let length =
            usize::try_from(length).ok().filter(|length| *length as u64 <= pages::MAX_BYTES);
        let mut chunk = vec![0; length.ok_or("longer than any column is")?];
        self.bytes.read_exact_at(&mut chunk, start).map_err(|error| error.to_string())?;
        Ok(chunk)
    }
}

/// Turns a panic inside the Parquet library, which damaged files have caused before, into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(format!("damaged: the Parquet library gave up; {ADVICE}")))
}

fn open(path: &Path) -> Result<(SerializedFileReader<File>, File, Head), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut file = files::regular(path).map_err(unreadable)?;
    let (data, sha256) = sums(&mut file)?;
    let bytes = file.try_clone().map_err(unreadable)?;
    let inner = SerializedFileReader::new(file)
        .map_err(|error| format!("damaged, cut off or no Parquet file ({error}); {ADVICE}"))?;
    let pairs = inner.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let pairs: Vec<(String, String)> =
        pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect();
    let found: BTreeMap<&str, &str> =
        pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let key = |name: &str| {
        found
            .get(name)
            .copied()
            .ok_or_else(|| format!("no squint profile: the key `{name}` is missing; {ADVICE}"))
    };
    let format = key("squint.format")?;
    if format != FORMAT {
        return Err(format!("format {format:?}; this squint reads format {FORMAT}; {ADVICE}"));
    }
    let sealed: Vec<_> =
        pairs.iter().filter(|(name, _)| name != SEAL).map(|(name, value)| (name, value)).collect();
    // A fuzzer cannot make sums, and what is behind them must bear any bytes, too.
    if key(SEAL)? != seal(data, &sealed) && !cfg!(fuzzing) {
        return Err(format!("damaged: its contents are not those its sum was made of; {ADVICE}"));
    }
    let json = |name: &str, error: serde_json::Error| format!("key `{name}`: {error}; {ADVICE}");
    let origin: StoredOrigin = serde_json::from_str(key("squint.origin")?)
        .map_err(|error| json("squint.origin", error))?;
    let engines: Vec<EngineHead> = serde_json::from_str(key("squint.engines")?)
        .map_err(|error| json("squint.engines", error))?;
    let class_names = serde_json::from_str(key("squint.class_names")?)
        .map_err(|error| json("squint.class_names", error))?;
    let files = "squint.unreadable_files";
    let unreadable: Vec<String> =
        serde_json::from_str(key(files)?).map_err(|error| json(files, error))?;
    let classes = key("squint.classes")?
        .parse()
        .map_err(|error| format!("key `squint.classes`: {error}; {ADVICE}"))?;
    if engines.len() > MAX_ENGINES {
        return Err(format!(
            "{} engines, at most {MAX_ENGINES} are possible; {ADVICE}",
            engines.len()
        ));
    }
    let specs = columns::specs(engines.iter().map(|engine| engine.id.as_str()));
    let schema = inner.metadata().file_metadata().schema_descr();
    let same = schema.num_columns() == specs.len()
        && specs.iter().zip(schema.columns()).all(|(spec, column)| {
            let required = column.max_def_level() == 0 && column.max_rep_level() == 0;
            column.name() == spec.name
                && column.physical_type() == spec.kind
                && required == spec.required
        });
    if !same {
        return Err(format!("the columns are not those of docs/reference/profile.md; {ADVICE}"));
    }
    let StoredOrigin { date, tool, machine, data, feature_schema, glimpse_ms, timed } = origin;
    let glimpse_ms = glimpse_ms.filter(|ms| ms.is_finite() && *ms >= 0.0);
    let count = unreadable.len() as u64;
    let origin = Origin {
        sha256,
        date,
        tool,
        machine,
        data,
        feature_schema,
        glimpse_ms,
        timed,
        unreadable: count,
    };
    Ok((inner, bytes, Head { origin, classes, class_names, engines, unreadable }))
}

/// The sum of all before the footer, not yet finished, and the sha256 of the whole file.
fn sums(file: &mut File) -> Result<(Sha256, String), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let whole = file.metadata().map_err(unreadable)?.len();
    let foreign = || format!("cut off or no Parquet file; {ADVICE}");
    let mut tail = [0; TAIL as usize];
    let at = whole.checked_sub(TAIL).ok_or_else(foreign)?;
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut tail)).map_err(unreadable)?;
    let [a, b, c, d, magic @ ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let mut left = at.checked_sub(length).filter(|_| magic == *b"PAR1").ok_or_else(foreign)?;
    if length > footer::MAX_BYTES {
        return Err(format!(
            "its footer claims {length} bytes, at most {} are read; {ADVICE}",
            footer::MAX_BYTES
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| foreign())?];
    file.seek(SeekFrom::Start(left))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(unreadable)?;
    footer::check(&bytes).map_err(|error| format!("damaged: {error}; {ADVICE}"))?;
    drop(bytes);
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let (mut data, mut whole) = (Sha256::new(), Sha256::new());
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut piece).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        let inside = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        data.update(&piece[..inside]);
        left -= inside as u64;
        whole.update(&piece[..count]);
    }
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    Ok((data, hash::hex(&whole.finalize())))
}

fn take(reader: ColumnReader, count: usize, required: bool) -> Result<Values, String> {
    Ok(match reader {
        ColumnReader::Int32ColumnReader(reader) => Values::Ints(values(reader, count, required)?),
        ColumnReader::FloatColumnReader(reader) => Values::Floats(values(reader, count, required)?),
        ColumnReader::DoubleColumnReader(reader) => {
            Values::Doubles(values(reader, count, required)?)
        }
        ColumnReader::BoolColumnReader(reader) => Values::Flags(values(reader, count, required)?),
        ColumnReader::ByteArrayColumnReader(reader) => {
            let found = values(reader, count, required)?;
            // A dictionary's value may stand in every row.
            let total: u64 = found.iter().flatten().map(|bytes| bytes.len() as u64).sum();
            if total > pages::MAX_BYTES {
                return Err(format!(
                    "{total} bytes in one column, at most {} are read",
                    pages::MAX_BYTES
                ));
            }
            Values::Bytes(
                found.into_iter().map(|value| value.map(|bytes| bytes.data().to_vec())).collect(),
            )
        }
        _ => return Err("a type that no column has".into()),
    })
}

fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    count: usize,
    required: bool,
) -> Result<Vec<Option<T::T>>, String> {
    let (mut there, mut levels) = (Vec::new(), Vec::new());
    let mut rows = 0;
    while rows < count {
        let wanted = if required { None } else { Some(&mut levels) };
        let (records, _, _) = reader
            .read_records(count - rows, wanted, None, &mut there)
            .map_err(|error| error.to_string())?;
        if records == 0 {
            return Err(format!("{rows} values of {count}"));
        }
        rows += records;
    }
    if required {
        return Ok(there.into_iter().map(Some).collect());
    }
    let mut there = there.into_iter();
    Ok(levels.into_iter().map(|level| if level > 0 { there.next() } else { None }).collect())
}
