//! Writes a profile row by row; memory does not grow with the number of rows.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use sha2::{Digest, Sha256};

use super::columns::{self, Spec, Values};
use super::{FORMAT, GROUP, Head, Row, StoredOrigin};
use crate::engine::hash;
use crate::files::Output;
use crate::lab::LabError;

/// Hashes what passes through.
struct Hashed {
    out: Output,
    hasher: Arc<Mutex<Sha256>>,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A profile file that is being written. It gets its name in [`Writer::finish`]; without that, one
/// that was there stays.
pub struct Writer {
    path: PathBuf,
    inner: SerializedFileWriter<Hashed>,
    hasher: Arc<Mutex<Sha256>>,
    specs: Vec<Spec>,
    engines: Vec<String>,
    waiting: Vec<Row>,
}

impl Writer {
    /// Begins the file that is to be at `path`. `engines`: the ids, in the order of each row's
    /// looks.
    pub fn create(path: &Path, engines: &[String]) -> Result<Self, LabError> {
        let specs = columns::specs(engines.iter().map(String::as_str));
        let hasher = Arc::new(Mutex::new(Sha256::new()));
        let start = || -> Result<_, ParquetError> {
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_offset_index_disabled(true)
                .set_created_by(format!("squint {}", env!("CARGO_PKG_VERSION")))
                .build();
            let hashed = Hashed { out: Output::create(path)?, hasher: Arc::clone(&hasher) };
            SerializedFileWriter::new(hashed, columns::schema(&specs)?, Arc::new(properties))
        };
        let inner = start().map_err(|error| said(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            inner,
            hasher,
            specs,
            engines: engines.to_vec(),
            waiting: Vec::new(),
        })
    }

    /// Adds a row; every [`GROUP`] rows go to the file. Errors with [`LabError::File`] if a row has
    /// other engines and with [`LabError::Unwritten`] if the disk is full.
    pub fn push(&mut self, row: Row) -> Result<(), LabError> {
        if row.looks.len() != self.engines.len() {
            let reason = format!(
                "{} answers of {} engines for {}",
                row.looks.len(),
                self.engines.len(),
                row.case.name
            );
            return Err(LabError::File { path: self.path.clone(), reason });
        }
        self.waiting.push(row);
        if self.waiting.len() >= GROUP { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), LabError> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        let all = columns::encode(&rows, self.engines.len());
        let write = || -> Result<(), ParquetError> {
            let mut group = self.inner.next_row_group()?;
            for (values, spec) in all.into_iter().zip(&self.specs) {
                let Some(column) = group.next_column()? else { break };
                put(column, values, spec.required)?;
            }
            group.close().map(|_| ())
        };
        write().map_err(|error| said(&self.path, &error))
    }

    /// Writes what waits and the head, and waits until the disk has it all. `head.engines` are
    /// those of the columns.
    pub fn finish(mut self, head: &Head) -> Result<(), LabError> {
        let ids: Vec<_> = head.engines.iter().map(|engine| engine.id.as_str()).collect();
        if self.engines.iter().map(String::as_str).ne(ids.iter().copied()) {
            let reason = format!(
                "the columns are of {} and the head is of {}",
                self.engines.join(", "),
                ids.join(", ")
            );
            return Err(LabError::File { path: self.path, reason });
        }
        self.write()?;
        let path = self.path;
        let mut inner = self.inner;
        let end = || -> Result<(), ParquetError> {
            let keys = keys(head).map_err(|error| ParquetError::General(error.to_string()))?;
            inner.flush()?;
            let seal =
                seal(self.hasher.lock().unwrap_or_else(PoisonError::into_inner).clone(), &keys);
            for (key, value) in keys {
                inner.append_key_value_metadata(KeyValue::new(key, value));
            }
            inner.append_key_value_metadata(KeyValue::new(SEAL.to_owned(), seal));
            Ok(inner.into_inner()?.out.finish()?)
        };
        end().map_err(|error| said(&path, &error))
    }
}

/// Key of the sum over all rows and all other keys.
pub(super) const SEAL: &str = "squint.sha256";

/// The sum: sha256 of everything before the footer, then each key and value, each followed by a
/// zero byte.
pub(super) fn seal<K: AsRef<str>, V: AsRef<str>>(mut data: Sha256, keys: &[(K, V)]) -> String {
    for (key, value) in keys {
        [key.as_ref(), "\0", value.as_ref(), "\0"]
            .iter()
            .for_each(|text| data.update(text.as_bytes()));
    }
    hash::hex(&data.finalize())
}

fn keys(head: &Head) -> Result<Vec<(String, String)>, serde_json::Error> {
    let crate::lab::profile::Origin {
        date,
        tool,
        machine,
        data,
        feature_schema,
        glimpse_ms,
        timed,
        ..
    } = head.origin.clone();
    let pairs = [
        ("squint.format", FORMAT.to_owned()),
        (
            "squint.origin",
            serde_json::to_string(&StoredOrigin {
                date,
                tool,
                machine,
                data,
                feature_schema,
                glimpse_ms,
                timed,
            })?,
        ),
        ("squint.classes", head.classes.to_string()),
        ("squint.class_names", serde_json::to_string(&head.class_names)?),
        ("squint.engines", serde_json::to_string(&head.engines)?),
        ("squint.unreadable", head.unreadable.len().to_string()),
        ("squint.unreadable_files", serde_json::to_string(&head.unreadable)?),
    ];
    Ok(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn put(
    column: SerializedColumnWriter<'_>,
    values: Values,
    required: bool,
) -> Result<(), ParquetError> {
    match values {
        Values::Ints(values) => fill::<Int32Type>(column, values, required),
        Values::Floats(values) => fill::<FloatType>(column, values, required),
        Values::Doubles(values) => fill::<DoubleType>(column, values, required),
        Values::Flags(values) => fill::<BoolType>(column, values, required),
        Values::Bytes(values) => fill::<ByteArrayType>(
            column,
            values.into_iter().map(|value| value.map(ByteArray::from)).collect(),
            required,
        ),
    }
}

fn fill<T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    values: Vec<Option<T::T>>,
    required: bool,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let there: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&there, if required { None } else { Some(&levels) }, None)?;
    column.close()
}

fn said(path: &Path, error: &ParquetError) -> LabError {
    // What the system said, without the library's word before it.
    let reason = match error {
        ParquetError::External(reason) => reason.to_string(),
        other => other.to_string(),
    };
    LabError::Unwritten { path: path.to_owned(), reason }
}
