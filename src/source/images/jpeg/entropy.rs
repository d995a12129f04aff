//! Walks over the coded data of a JPEG to its end, without making a picture: does it hold every
//! block, and nothing else? Pure.
//!
//! Decoders make up what is missing, so that a photo whose upload was cut is grey below. Here each
//! scan must have as many blocks as the head says, in codes and values that an encoder can have
//! written, its restart markers in order, and an end of the picture. Codes and their order: ITU-T
//! T.81, annexes F and G. A few bytes too many behind a scan are forgiven, because cameras write
//! them.

use super::head::{self, Head, Scan};

/// Most scans; encoders make up to some twenty. Each costs a walk over all blocks.
const MOST_SCANS: usize = 100;
/// Most bytes of notes between scans; decoders keep copies of them.
const MOST_NOTES: u64 = 4 << 20;
/// Bytes behind the last block of a scan that mean nothing. Zeros may be any number.
const STRAY: usize = 3;
/// Longest codes of a change of the mean and of a coefficient, bits (T.81, tables F.1 and F.2).
const MOST_MEAN_BITS: u8 = 11;
const MOST_BITS: u8 = 10;
/// Largest mean of a block, eight times the level: that of eight bits, and as much again for
/// rounding and overshoot.
const MOST_MEAN: i64 = 2048;
/// Bits that a table answers at once.
const QUICK: u32 = 9;

/// Refuses a file that is cut short or damaged, and says so.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let head = head::read(bytes)?;
    let mut tables =
        Tables { means: Default::default(), others: Default::default(), steps: [None; 4] };
    if head.lacks_tables {
        tables.read(&STANDARD_TABLES[4..])?;
    }
    let (across, down) = head.units();
    let blocks = |part: &head::Component| across * part.across * down * part.down;
    // Which coefficients of each block are known not to be 0: they are refined by a bit each.
    let mut known: Vec<Vec<u64>> = match head.progressive {
        true => head.components.iter().map(|part| vec![0; blocks(part)]).collect(),
        false => vec![Vec::new(); head.components.len()],
    };
    let (mut at, mut interval, mut scans, mut seen, mut notes) = (2, 0, 0, [false; 4], 0);
    loop {
        let (segment, next) = head::segment(bytes, at)?;
        at = next;
        notes += segment.notes();
        if notes > head.notes + MOST_NOTES {
            return Err(format!(
                "more than {} MiB of notes between its scans; save it anew without them",
                MOST_NOTES >> 20
            ));
        }
        match segment.marker {
            0xC4 => tables.read(segment.body)?,
            0xDB => tables.read_steps(segment.body)?,
            0xDD => match segment.body {
                [high, low] => interval = usize::from(u16::from_be_bytes([*high, *low])),
                _ => return Err("damaged: its restart interval".into()),
            },
            0xDC => {
                return Err("a JPEG whose height follows later is not read; save it anew".into());
            }
            0xDA => {
                scans += 1;
                if scans > MOST_SCANS {
                    return Err(format!(
                        "more than {MOST_SCANS} scans, the most that are read; save it anew"
                    ));
                }
                let scan = head::scan(segment.body, &head)?;
                scan.parts
                    .iter()
                    .filter(|_| scan.from == 0)
                    .for_each(|(place, _, _)| seen[*place] = true);
                at = Walk { bytes, head: &head, scan: &scan, tables: &tables, interval }
                    .run(at, &mut known)?;
            }
            0xD9 => break,
            _ => (),
        }
    }
    match head.components.iter().zip(seen).all(|(_, seen)| seen) {
        true => Ok(()),
        false => Err("damaged: a colour is missing".into()),
    }
}

/// The tables in force.
struct Tables {
    means: [Option<Box<Table>>; 4],
    others: [Option<Box<Table>>; 4],
    /// Quantisation step of the mean.
    steps: [Option<u16>; 4],
}

impl Tables {
    fn read(&mut self, mut body: &[u8]) -> Result<(), String> {
        let damaged = || "damaged: its Huffman tables".to_owned();
        while let Some((place, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(..total).ok_or_else(damaged)?;
            let table = Some(Box::new(Table::new(counts, values).ok_or_else(damaged)?));
            let kind = if place >> 4 == 0 { &mut self.means } else { &mut self.others };
            *kind
                .get_mut(usize::from(place & 15))
                .filter(|_| place >> 4 < 2)
                .ok_or_else(damaged)? = table;
            body = &rest[total..];
        }
        Ok(())
    }

    fn read_steps(&mut self, mut body: &[u8]) -> Result<(), String> {
        let damaged = || "damaged: its quantisation tables".to_owned();
        while let Some((place, rest)) = body.split_first() {
            let (length, step) = match (place >> 4, rest) {
                (0, [step, ..]) => (64, u16::from(*step)),
                (1, [high, low, ..]) => (128, u16::from_be_bytes([*high, *low])),
                _ => return Err(damaged()),
            };
            *self.steps.get_mut(usize::from(place & 15)).ok_or_else(damaged)? = Some(step);
            body = rest.get(length..).ok_or_else(damaged)?;
        }
        Ok(())
    }
}

/// A Huffman code (T.81, annex C).
struct Table {
    /// By the next [`QUICK`] bits: length of the code and its value; length 0 for longer codes.
    quick: [(u8, u8); 1 << QUICK],
    /// By length: one more than the largest code, moved to the left of 16 bits.
    ends: [u32; 17],
    /// By length: from a code to the place of its value.
    offsets: [i32; 17],
    values: [u8; 256],
}

impl Table {
    fn new(counts: &[u8; 16], found: &[u8]) -> Option<Self> {
        let mut table =
            Self { quick: [(0, 0); 1 << QUICK], ends: [0; 17], offsets: [0; 17], values: [0; 256] };
        table.values.get_mut(..found.len())?.copy_from_slice(found);
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, count) in (1_u32..).zip(counts) {
            table.offsets[length as usize] = place as i32 - code as i32;
            for _ in 0..*count {
                if code >= 1 << length {
                    return None;
                }
                if length <= QUICK {
                    let first = (code << (QUICK - length)) as usize;
                    table.quick[first..first + (1 << (QUICK - length))]
                        .fill((length as u8, table.values[place]));
                }
                (code, place) = (code + 1, place + 1);
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }
}

/// Bits of one restart interval. Behind its last byte follow zeros without end, which are counted.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
    /// Bits in `buffer` that are made up.
    made_up: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, count: 0, made_up: 0 }
    }

    /// At least 48 bits in the buffer.
    #[inline]
    fn fill(&mut self) {
        if self.count >= 48 {
            return;
        }
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at) {
                Some(0xFF) if self.bytes.get(self.at + 1) == Some(&0) => {
                    self.at += 2;
                    0xFF
                }
                Some(0xFF) | None => {
                    self.made_up += 8;
                    0
                }
                Some(byte) => {
                    self.at += 1;
                    *byte
                }
            };
            self.buffer = (self.buffer << 8) | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next `count` bits, 16 at most.
    #[inline]
    fn take(&mut self, count: u32) -> u32 {
        self.fill();
        self.count -= count;
        (self.buffer >> self.count) as u32 & ((1 << count) - 1)
    }

    #[inline]
    fn value(&mut self, table: &Table) -> Result<u8, &'static str> {
        self.fill();
        let next = (self.buffer >> (self.count - 16)) as u32 & 0xFFFF;
        let (length, value) = table.quick[(next >> (16 - QUICK)) as usize];
        if length > 0 {
            self.count -= u32::from(length);
            return Ok(value);
        }
        for length in QUICK + 1..=16 {
            if next < table.ends[length as usize] {
                self.count -= length;
                let place = (next >> (16 - length)) as i32 + table.offsets[length as usize];
                return usize::try_from(place)
                    .ok()
                    .and_then(|place| table.values.get(place))
                    .copied()
                    .ok_or(BAD_CODE);
            }
        }
        Err(BAD_CODE)
    }

    /// True once made-up bits were taken for real ones.
    fn is_short(&self) -> bool {
        self.made_up > self.count
    }

    /// Where the next marker begins, and the whole bytes before it that nobody asked for: all of
    /// them, and those that are not 0.
    fn end(&self) -> (usize, usize, usize) {
        let left = self.count.saturating_sub(self.made_up) / 8;
        let buffered = (0..left).map(|place| (self.buffer >> (self.made_up + place * 8)) as u8);
        let (mut all, mut stray) = (left as usize, buffered.filter(|byte| *byte != 0).count());
        let mut at = self.at;
        loop {
            match (self.bytes.get(at), self.bytes.get(at + 1)) {
                (Some(0xFF), Some(0)) => at += 2,
                (Some(0xFF), _) | (None, _) => return (at, all, stray),
                (Some(byte), _) => {
                    stray += usize::from(*byte != 0);
                    at += 1;
                }
            }
            all += 1;
        }
    }
}

const BAD_CODE: &str = "a code that does not exist";
const BAD_VALUE: &str = "a value that cannot be";

/// One scan and all that it needs.
struct Walk<'a> {
    bytes: &'a [u8],
    head: &'a Head,
    scan: &'a Scan,
    tables: &'a Tables,
    /// Coding units between two restart markers; 0 without.
    interval: usize,
}

/// What goes on from block to block, until a restart marker.
#[derive(Default)]
struct State {
    means: [i64; 4],
    /// Blocks to come without a code of their own.
    run: u32,
}

impl Walk<'_> {
    /// Walks over the scan whose data begin at `at`; where the file goes on behind it.
    fn run(&self, at: usize, known: &mut [Vec<u64>]) -> Result<usize, String> {
        let units = self.units();
        let total = units.0 * units.1;
        let mut bits = Bits::new(self.bytes, at);
        let mut state = State::default();
        let mut restarts = 0_u8;
        for unit in 0..total {
            if self.interval > 0 && unit > 0 && unit % self.interval == 0 {
                let at = self.restart(&bits, restarts)?;
                restarts = (restarts + 1) % 8;
                (bits, state) = (Bits::new(self.bytes, at), State::default());
            }
            self.unit(unit % units.0, unit / units.0, &mut bits, &mut state, known).map_err(
                |what| {
                    if bits.is_short() {
                        self.short(&bits)
                    } else {
                        format!("damaged: {what} in the picture")
                    }
                },
            )?;
            if bits.is_short() {
                return Err(self.short(&bits));
            }
        }
        let (at, _, stray) = bits.end();
        match self.bytes.get(at + 1) {
            _ if stray > STRAY => Err("damaged: more data than the picture has".into()),
            // Some encoders end the last interval, too.
            Some(0xD0..=0xD7) => Ok(at + 2),
            _ => Ok(at),
        }
    }

    /// Behind the restart marker that must follow.
    fn restart(&self, bits: &Bits<'_>, expected: u8) -> Result<usize, String> {
        let (mut at, more, _) = bits.end();
        while self.bytes.get(at + 1) == Some(&0xFF) {
            at += 1;
        }
        match self.bytes.get(at + 1) {
            None => Err(self.short(bits)),
            Some(marker) if *marker == 0xD0 + expected && more == 0 => Ok(at + 2),
            Some(0xD9) => Err(self.short(bits)),
            Some(_) => Err("damaged: a restart marker out of place".into()),
        }
    }

    fn short(&self, bits: &Bits<'_>) -> String {
        match self.bytes.get(bits.at..) {
            None | Some([] | [_]) => "cut short: it ends before the picture does".into(),
            Some([_, 0xD9, ..]) => "damaged: the picture ends too early".into(),
            Some(_) => "damaged: data are missing in the picture".into(),
        }
    }

    /// Coding units from side to side and from top to bottom: blocks, if the scan has one
    /// component.
    fn units(&self) -> (usize, usize) {
        let [(place, _, _)] = self.scan.parts.as_slice() else { return self.head.units() };
        let (part, (across, down)) = (&self.head.components[*place], self.head.most());
        let blocks = |side: u32, own: usize, most: usize| (side as usize * own).div_ceil(most * 8);
        (blocks(self.head.width, part.across, across), blocks(self.head.height, part.down, down))
    }

    fn unit(
        &self,
        x: usize,
        y: usize,
        bits: &mut Bits<'_>,
        state: &mut State,
        known: &mut [Vec<u64>],
    ) -> Result<(), &'static str> {
        let alone = self.scan.parts.len() == 1;
        for (place, means, others) in &self.scan.parts {
            let part = &self.head.components[*place];
            let (across, down) = if alone { (1, 1) } else { (part.across, part.down) };
            let row = self.head.units().0 * part.across;
            for block in 0..across * down {
                let at = (y * down + block / across) * row + x * across + block % across;
                if self.scan.from == 0 {
                    self.mean(*place, *means, bits, state)?;
                }
                if !self.head.progressive {
                    block_of(
                        bits,
                        self.tables.others[*others].as_deref().ok_or("no Huffman table")?,
                    )?;
                } else if self.scan.from > 0 {
                    let known = known[*place].get_mut(at).ok_or(BAD_VALUE)?;
                    let table = self.tables.others[*others].as_deref().ok_or("no Huffman table")?;
                    match self.scan.before {
                        0 => self.first(bits, table, state, known)?,
                        _ => self.refine(bits, table, state, known)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The mean of a block, or a bit more of it.
    fn mean(
        &self,
        place: usize,
        table: usize,
        bits: &mut Bits<'_>,
        state: &mut State,
    ) -> Result<(), &'static str> {
        if self.scan.before > 0 {
            bits.take(1);
            return Ok(());
        }
        let length = bits.value(self.tables.means[table].as_deref().ok_or("no Huffman table")?)?;
        if length > MOST_MEAN_BITS {
            return Err(BAD_VALUE);
        }
        if length > 0 {
            let raw = i64::from(bits.take(u32::from(length)));
            state.means[place] +=
                if raw >> (length - 1) == 0 { raw - (1 << length) + 1 } else { raw };
        }
        let step = self.tables.steps[self.head.components[place].quantisation]
            .ok_or("no quantisation table")?;
        let mean = (state.means[place] << self.scan.left) * i64::from(step);
        if mean.abs() > MOST_MEAN + i64::from(step) { Err(BAD_VALUE) } else { Ok(()) }
    }

    /// Coefficients, their leading bits.
    fn first(
        &self,
        bits: &mut Bits<'_>,
        table: &Table,
        state: &mut State,
        known: &mut u64,
    ) -> Result<(), &'static str> {
        if state.run > 0 {
            state.run -= 1;
            return Ok(());
        }
        let mut at = self.scan.from;
        while at <= self.scan.to {
            let value = bits.value(table)?;
            let (skip, length) = (value >> 4, value & 15);
            match (skip, length) {
                (15, 0) => at += 16,
                (run, 0) => {
                    state.run =
                        (1 << run) - 1 + if run > 0 { bits.take(u32::from(run)) } else { 0 };
                    return Ok(());
                }
                _ => {
                    at += usize::from(skip);
                    if at > self.scan.to || length > MOST_BITS {
                        return Err(BAD_VALUE);
                    }
                    bits.take(u32::from(length));
                    *known |= 1 << at;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// One bit more of coefficients that are known, and new ones (T.81, G.1.2.3).
    fn refine(
        &self,
        bits: &mut Bits<'_>,
        table: &Table,
        state: &mut State,
        known: &mut u64,
    ) -> Result<(), &'static str> {
        let mut at = self.scan.from;
        if state.run == 0 {
            while at <= self.scan.to {
                let value = bits.value(table)?;
                let (mut skip, length) = (value >> 4, value & 15);
                match (skip, length) {
                    (15, 0) | (_, 1) => (),
                    (run, 0) => {
                        state.run =
                            (1 << run) + if run > 0 { bits.take(u32::from(run)) } else { 0 };
                        break;
                    }
                    _ => return Err(BAD_VALUE),
                }
                if length == 1 {
                    bits.take(1);
                }
                while at <= self.scan.to {
                    if *known >> at & 1 == 1 {
                        bits.take(1);
                    } else if skip == 0 {
                        break;
                    } else {
                        skip -= 1;
                    }
                    at += 1;
                }
                if length == 1 {
                    if at > self.scan.to {
                        return Err(BAD_VALUE);
                    }
                    *known |= 1 << at;
                }
                at += 1;
            }
        }
        if state.run > 0 {
            for _ in (at..=self.scan.to).filter(|at| *known >> at & 1 == 1) {
                bits.take(1);
            }
            state.run -= 1;
        }
        Ok(())
    }
}

/// All coefficients of a block but the mean.
#[inline]
fn block_of(bits: &mut Bits<'_>, table: &Table) -> Result<(), &'static str> {
    let mut at = 1;
    while at < 64 {
        let value = bits.value(table)?;
        let (skip, length) = (value >> 4, value & 15);
        match (skip, length) {
            (0, 0) => break,
            (15, 0) => at += 16,
            (_, 0) => return Err(BAD_CODE),
            _ => {
                at += usize::from(skip) + 1;
                if at > 64 || length > MOST_BITS {
                    return Err(BAD_VALUE);
                }
                bits.take(u32::from(length));
            }
        }
    }
    Ok(())
}

/// A segment with the tables of T.81, annex K.3, which pictures out of an MJPEG film leave out.
#[rustfmt::skip]
pub(super) const STANDARD_TABLES: [u8; 420] = [
    0xFF, 0xC4, 0x01, 0xA2,
    0x00, 0x00, 0x01, 0x05, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
    0x07, 0x08, 0x09, 0x0A, 0x0B, 0x10, 0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03, 0x05, 0x05, 0x04, 0x04, 0x00, 0x00, 0x01, 0x7D, 0x01, 0x02,
    0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42,
    0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A,
    0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63,
    0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92,
    0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8,
    0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xE3, 0xE4,
    0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0x01, 0x00, 0x03, 0x01, 0x01, 0x01, 0x01, 0x01,
    0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x11, 0x00, 0x02,
    0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07, 0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77, 0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06,
    0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0, 0x15, 0x62,
    0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A,
    0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A,
    0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2,
    0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];
