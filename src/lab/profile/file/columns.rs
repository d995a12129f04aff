//! The columns of a profile file, and the way from rows to columns and back. Pure.

use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

use super::super::{Case, Seen};
use super::Row;
use crate::engine::{KEPT, TOP, Top};
use crate::features::{COUNT, Features, Glimpse, NAMES};

/// Bytes of one class and its probability in `<id>.rest`.
const PAIR: usize = 8;
/// Longest name of a file, bytes: that of a path.
const MAX_NAME: usize = 4096;

/// The values of one column for some rows.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    Ints(Vec<Option<i32>>),
    Floats(Vec<Option<f32>>),
    Doubles(Vec<Option<f64>>),
    Flags(Vec<Option<bool>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

/// One column: what it is called, what it holds, and if every row has a value.
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) kind: Physical,
    pub(super) required: bool,
    text: bool,
}

/// All columns of a file with these engines, in order.
pub(super) fn specs<'a>(engines: impl IntoIterator<Item = &'a str>) -> Vec<Spec> {
    let mut specs = Vec::new();
    let mut add = |name: String, kind, required| {
        specs.push(Spec { text: name == "file" && required, name, kind, required })
    };
    add("file".into(), Physical::BYTE_ARRAY, true);
    add("label".into(), Physical::INT32, true);
    add("group".into(), Physical::INT32, true);
    NAMES.iter().for_each(|name| add((*name).into(), Physical::FLOAT, true));
    add("features_ms".into(), Physical::FLOAT, true);
    add("glimpse".into(), Physical::BYTE_ARRAY, true);
    add("at_ms".into(), Physical::DOUBLE, false);
    for id in engines {
        (1..=TOP).for_each(|place| add(format!("{id}.class{place}"), Physical::INT32, false));
        (1..=TOP).for_each(|place| add(format!("{id}.p{place}"), Physical::FLOAT, false));
        ["correct1", "correct5"]
            .into_iter()
            .for_each(|what| add(format!("{id}.{what}"), Physical::BOOLEAN, false));
        let floats = ["margin", "entropy", "latency_ms", "energy_mj"];
        floats.into_iter().for_each(|what| add(format!("{id}.{what}"), Physical::FLOAT, false));
        add(format!("{id}.rest"), Physical::BYTE_ARRAY, false);
    }
    specs
}

/// As Parquet wants it.
pub(super) fn schema(specs: &[Spec]) -> Result<TypePtr, ParquetError> {
    let field = |spec: &Spec| {
        let repetition = if spec.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let text = if spec.text { ConvertedType::UTF8 } else { ConvertedType::NONE };
        let built = Type::primitive_type_builder(&spec.name, spec.kind)
            .with_repetition(repetition)
            .with_converted_type(text);
        built.build().map(Arc::new)
    };
    let fields = specs.iter().map(field).collect::<Result<_, _>>()?;
    Ok(Arc::new(Type::group_type_builder("squint_profile").with_fields(fields).build()?))
}

/// Rows to columns, in the order of [`specs`]. Every row has an answer or none for each of
/// `engines` engines.
pub(super) fn encode(rows: &[Row], engines: usize) -> Vec<Values> {
    let floats = |get: &dyn Fn(&Row) -> Option<f32>| Values::Floats(rows.iter().map(get).collect());
    let mut columns = vec![
        Values::Bytes(rows.iter().map(|row| Some(row.case.name.as_bytes().to_vec())).collect()),
        Values::Ints(rows.iter().map(|row| Some(row.case.label.cast_signed())).collect()),
        Values::Ints(rows.iter().map(|row| Some(row.case.group.cast_signed())).collect()),
    ];
    columns
        .extend((0..COUNT).map(|feature| floats(&|row| Some(row.case.features.values[feature]))));
    columns.push(floats(&|row| Some(row.case.features_ms)));
    columns.push(Values::Bytes(rows.iter().map(|row| Some(row.case.glimpse.to_vec())).collect()));
    columns.push(Values::Doubles(rows.iter().map(|row| row.case.at_ms).collect()));
    for engine in 0..engines {
        let look = |row: &Row| row.looks.get(engine).copied().flatten();
        let top =
            |row: &Row, place: usize| look(row).and_then(|seen| ranked(&seen).get(place).copied());
        let class = |place| {
            rows.iter().map(|row| top(row, place).map(|top| top.class.cast_signed())).collect()
        };
        columns.extend((0..TOP).map(|place| Values::Ints(class(place))));
        columns.extend(
            (0..TOP).map(|place| floats(&|row| top(row, place).map(|top| top.probability))),
        );
        let right = |is: &dyn Fn(&Seen, u32) -> bool| {
            rows.iter().map(|row| look(row).map(|seen| is(&seen, row.case.label))).collect()
        };
        columns.push(Values::Flags(right(&Seen::is_right)));
        columns.push(Values::Flags(right(&Seen::is_right5)));
        columns.push(floats(&|row| look(row).map(|seen| seen.margin)));
        columns.push(floats(&|row| look(row).map(|seen| seen.entropy)));
        columns.push(floats(&|row| look(row).and_then(|seen| seen.latency_ms)));
        columns.push(floats(&|row| look(row).and_then(|seen| seen.energy_mj)));
        columns.push(Values::Bytes(
            rows.iter().map(|row| look(row).map(|seen| rest(&seen))).collect(),
        ));
    }
    columns
}

/// The classes that count.
fn ranked(seen: &Seen) -> Vec<Top> {
    seen.top[..usize::from(seen.ranked).min(KEPT)].to_vec()
}

fn rest(seen: &Seen) -> Vec<u8> {
    let pair = |top: &Top| top.class.to_le_bytes().into_iter().chain(top.probability.to_le_bytes());
    ranked(seen).iter().skip(TOP).flat_map(pair).collect()
}

/// Columns to rows. Errors say which column does not fit, and how.
pub(super) fn decode(
    columns: Vec<Values>,
    engines: &[&str],
    count: usize,
) -> Result<Vec<Row>, String> {
    let mut columns = columns.into_iter();
    let mut next = || columns.next().ok_or_else(|| "columns are missing".to_owned());
    let (names, labels, groups) = (bytes(next()?)?, ints(next()?)?, ints(next()?)?);
    let features = (0..COUNT).map(|_| floats(next()?)).collect::<Result<Vec<_>, _>>()?;
    let (features_ms, glimpses) = (floats(next()?)?, bytes(next()?)?);
    let Values::Doubles(at_ms) = next()? else {
        return Err("column `at_ms` holds no doubles".into());
    };
    let mut rows = Vec::new();
    for at in 0..count {
        let lacks = |what: &str| format!("column `{what}`, row {at}: a value that cannot be");
        let name = names.get(at).cloned().flatten().filter(|name| name.len() <= MAX_NAME);
        let name =
            name.and_then(|name| String::from_utf8(name).ok()).ok_or_else(|| lacks("file"))?;
        let mut values = [0.0; COUNT];
        for ((value, column), name) in values.iter_mut().zip(&features).zip(NAMES) {
            *value =
                cell(column, at).filter(|value| value.is_finite()).ok_or_else(|| lacks(name))?;
        }
        let glimpse =
            glimpses.get(at).cloned().flatten().and_then(|bytes| Glimpse::try_from(bytes).ok());
        let case = Case {
            name: name.into(),
            label: whole(&labels, at).ok_or_else(|| lacks("label"))?,
            group: whole(&groups, at).ok_or_else(|| lacks("group"))?,
            features: Features { values },
            features_ms: cell(&features_ms, at)
                .filter(|ms| ms.is_finite() && *ms >= 0.0)
                .ok_or_else(|| lacks("features_ms"))?,
            glimpse: glimpse.ok_or_else(|| lacks("glimpse"))?,
            at_ms: cell(&at_ms, at),
        };
        rows.push(Row { case, looks: Vec::with_capacity(engines.len()) });
    }
    for id in engines {
        let classes = (0..TOP).map(|_| ints(next()?)).collect::<Result<Vec<_>, _>>()?;
        let shares = (0..TOP).map(|_| floats(next()?)).collect::<Result<Vec<_>, _>>()?;
        let (_, _) = (next()?, next()?);
        let (margin, entropy, latency, energy) =
            (floats(next()?)?, floats(next()?)?, floats(next()?)?, floats(next()?)?);
        let rest = bytes(next()?)?;
        for (at, row) in rows.iter_mut().enumerate() {
            let Some(rest) = rest.get(at).cloned().flatten() else {
                row.looks.push(None);
                continue;
            };
            let lacks =
                |what: &str| format!("column `{id}.{what}`, row {at}: a value that cannot be");
            let mut tops: Vec<Top> = Vec::with_capacity(KEPT);
            for (class, share) in classes.iter().zip(&shares) {
                if let (Some(class), Some(probability)) = (whole(class, at), cell(share, at)) {
                    tops.push(Top { class, probability });
                }
            }
            let (pairs, odd) = rest.as_chunks::<PAIR>();
            if !odd.is_empty()
                || tops.len() + pairs.len() > KEPT
                || (!pairs.is_empty() && tops.len() < TOP)
            {
                return Err(lacks("rest"));
            }
            tops.extend(pairs.iter().map(|[a, b, c, d, e, f, g, h]| Top {
                class: u32::from_le_bytes([*a, *b, *c, *d]),
                probability: f32::from_le_bytes([*e, *f, *g, *h]),
            }));
            if tops.iter().any(|top| !(0.0..=1.0).contains(&top.probability)) {
                return Err(lacks("p1..p5 or rest"));
            }
            let ranked = tops.len() as u8;
            tops.resize(KEPT, Top::default());
            row.looks.push(Some(Seen {
                top: tops.try_into().map_err(|_| lacks("rest"))?,
                ranked,
                margin: cell(&margin, at).ok_or_else(|| lacks("margin"))?,
                entropy: cell(&entropy, at).ok_or_else(|| lacks("entropy"))?,
                latency_ms: cell(&latency, at),
                energy_mj: cell(&energy, at),
            }));
        }
    }
    Ok(rows)
}

fn cell<T: Copy>(column: &[Option<T>], at: usize) -> Option<T> {
    column.get(at).copied().flatten()
}

fn whole(column: &[Option<i32>], at: usize) -> Option<u32> {
    cell(column, at).and_then(|value| u32::try_from(value).ok())
}

fn ints(values: Values) -> Result<Vec<Option<i32>>, String> {
    if let Values::Ints(values) = values {
        Ok(values)
    } else {
        Err("a column that should hold whole numbers does not".into())
    }
}

fn floats(values: Values) -> Result<Vec<Option<f32>>, String> {
    if let Values::Floats(values) = values {
        Ok(values)
    } else {
        Err("a column that should hold numbers does not".into())
    }
}

fn bytes(values: Values) -> Result<Vec<Option<Vec<u8>>>, String> {
    if let Values::Bytes(values) = values {
        Ok(values)
    } else {
        Err("a column that should hold bytes does not".into())
    }
}
