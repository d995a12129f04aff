//! Area averaging: one plane, packed or single, down to the working size.
//!
//! Exact in whole numbers: every target sample is the sum of the source samples it covers, each
//! weighted by the covered part, divided once and rounded to nearest (halves up). Equals OpenCV's
//! `INTER_AREA` within 1. Boxes of whole samples (640x480 to 160x120) take a path of 16-bit sums
//! that compilers vectorise. Not for choosing the size, see [`super::working`].

/// Which source samples make up each target sample along one axis.
#[derive(Default)]
pub(super) struct Axis {
    key: (u32, u32, u32),
    spans: Vec<Span>,
    /// Weight of a wholly covered sample.
    unit: u32,
    /// Weight of all samples of one span together.
    width: u32,
}

/// `lead` x sample `from - 1`, the whole samples `from..to`, `tail` x sample `to`.
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
    lead: u32,
    tail: u32,
}

impl Axis {
    /// Maps `length` pixels to `target`; a sample is `step` pixels wide (2 for halved chroma, else
    /// 1). Cheap if unchanged.
    ///
    /// In units of 1/(`step` `target`) of a sample, target `i` covers `[i length, (i + 1) length)`;
    /// both are divided by their greatest common divisor, so that whole boxes have `unit` 1.
    pub(super) fn set(&mut self, length: u32, step: u32, target: u32) {
        if self.key == (length, step, target) {
            return;
        }
        self.key = (length, step, target);
        let common = gcd(length, step * target);
        self.unit = step * target / common;
        self.width = length / common;
        self.spans.clear();
        self.spans.extend((0..target).map(|index| {
            let (start, end) = (index * self.width, (index + 1) * self.width);
            let (from, to) = (start.div_ceil(self.unit), end / self.unit);
            if from > to {
                Span { from, to: from, lead: self.width, tail: 0 }
            } else {
                Span { from, to, lead: from * self.unit - start, tail: end - to * self.unit }
            }
        }));
    }

    fn samples(&self) -> usize {
        self.key.0.div_ceil(self.key.1.max(1)) as usize
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Row buffers of [`shrink`].
#[derive(Default)]
pub(super) struct Rows {
    whole: Vec<u16>,
    boxes: Vec<u16>,
    picked: Vec<u16>,
    mixed: Vec<u32>,
}

/// Averages samples of `C` interleaved bytes; channel `i` goes to `out[i]`, further channels are
/// left out.
///
/// `source` starts at the first sample of the region and has rows `stride` bytes apart. Each
/// `out[i]` holds `x.target * y.target` bytes.
pub(super) fn shrink<const C: usize>(
    source: &[u8],
    stride: usize,
    x: &Axis,
    y: &Axis,
    rows: &mut Rows,
    out: &mut [&mut [u8]],
) {
    // 256 boxes of 255, and half a box for rounding, are the most that 16 bits hold.
    if x.unit == 1 && y.unit == 1 && x.width * y.width <= 256 {
        whole_boxes::<C>(source, stride, x, y, rows, out);
    } else {
        split_boxes::<C>(source, stride, x, y, rows, out);
    }
}

fn whole_boxes<const C: usize>(
    source: &[u8],
    stride: usize,
    x: &Axis,
    y: &Axis,
    rows: &mut Rows,
    out: &mut [&mut [u8]],
) {
    let bytes = x.samples() * C;
    let columns = x.spans.len();
    rows.whole.resize(bytes, 0);
    rows.boxes.resize(bytes, 0);
    let area = x.width * y.width;
    rows.picked.resize(columns * C, 0);
    for (index, span) in y.spans.iter().enumerate() {
        sum_rows(&mut rows.whole, &source[span.from as usize * stride..], stride, y.width as usize);
        let boxes = match x.width {
            1 => &rows.whole[..],
            2 => sum_columns::<C, 2>(&rows.whole, &mut rows.boxes),
            3 => sum_columns::<C, 3>(&rows.whole, &mut rows.boxes),
            4 => sum_columns::<C, 4>(&rows.whole, &mut rows.boxes),
            6 => sum_columns::<C, 6>(&rows.whole, &mut rows.boxes),
            8 => sum_columns::<C, 8>(&rows.whole, &mut rows.boxes),
            width => sum_columns_any::<C>(width as usize, &rows.whole, &mut rows.boxes),
        };
        pick::<C>(boxes, x.width as usize, columns, &mut rows.picked);
        for (plane, sums) in out.iter_mut().zip(rows.picked.chunks_exact(columns)) {
            divide(&mut plane[index * columns..][..columns], sums, area);
        }
    }
}

/// Takes every `width`-th sample of `boxes`, its channels apart: `columns` sums of the first
/// channel, then of the second.
fn pick<const C: usize>(boxes: &[u16], width: usize, columns: usize, picked: &mut [u16]) {
    let mut rest = picked;
    let planes: [&mut [u16]; C] = std::array::from_fn(|_| {
        let (plane, others) = std::mem::take(&mut rest).split_at_mut(columns);
        rest = others;
        plane
    });
    let (samples, _) = boxes.as_chunks::<C>();
    for (column, sample) in samples.iter().step_by(width).enumerate().take(columns) {
        for channel in 0..C {
            planes[channel][column] = sample[channel];
        }
    }
}

/// Divides sums of up to `255 area` by `area`, rounding to nearest.
fn divide(into: &mut [u8], sums: &[u16], area: u32) {
    let half = (area / 2) as u16;
    let pairs = into.iter_mut().zip(sums);
    // (sum * reciprocal) >> 16 is the whole quotient if this error stays below 1; true for 4, 9, 16
    // and 64, the usual boxes.
    let reciprocal = (1_u32 << 16).div_ceil(area);
    let error = (reciprocal * area - (1 << 16)) * (255 * area + area / 2);
    if area == 1 {
        pairs.for_each(|(to, &sum)| *to = sum as u8);
    } else if error < 1 << 16 {
        let reciprocal = reciprocal as u16;
        pairs.for_each(|(to, &sum)| {
            *to = ((u32::from(sum + half) * u32::from(reciprocal)) >> 16) as u8
        });
    } else {
        // The same with room to spare: exact for every sum and area below 2^16.
        let reciprocal = (1_u64 << 32) / u64::from(area) + 1;
        pairs.for_each(|(to, &sum)| *to = ((u64::from(sum + half) * reciprocal) >> 32) as u8);
    }
}

/// Sums `count` rows, four at a time.
fn sum_rows(into: &mut [u16], source: &[u8], stride: usize, count: usize) {
    let n = into.len();
    let row = |index: usize| &source[index * stride..][..n];
    let mut done = count % 4;
    match done {
        0 => {
            set_four(into, row(0), row(1), row(2), row(3));
            done = 4;
        }
        1 => into.iter_mut().zip(row(0)).for_each(|(to, &a)| *to = u16::from(a)),
        2 => into
            .iter_mut()
            .zip(row(0))
            .zip(row(1))
            .for_each(|((to, &a), &b)| *to = u16::from(a) + u16::from(b)),
        _ => {
            let pairs = row(0).iter().zip(row(1)).zip(row(2));
            into.iter_mut()
                .zip(pairs)
                .for_each(|(to, ((&a, &b), &c))| *to = u16::from(a) + u16::from(b) + u16::from(c));
        }
    }
    while done < count {
        add_four(into, row(done), row(done + 1), row(done + 2), row(done + 3));
        done += 4;
    }
}

fn set_four(into: &mut [u16], a: &[u8], b: &[u8], c: &[u8], d: &[u8]) {
    let n = into.len();
    let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
    for i in 0..n {
        into[i] = (u16::from(a[i]) + u16::from(b[i])) + (u16::from(c[i]) + u16::from(d[i]));
    }
}

fn add_four(into: &mut [u16], a: &[u8], b: &[u8], c: &[u8], d: &[u8]) {
    let n = into.len();
    let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
    for i in 0..n {
        into[i] += (u16::from(a[i]) + u16::from(b[i])) + (u16::from(c[i]) + u16::from(d[i]));
    }
}

/// `boxes[i]` = sum of `K` samples from `i` on, one channel apart from the next; only every `K`-th
/// sample will be read.
fn sum_columns<'a, const C: usize, const K: usize>(
    whole: &[u16],
    boxes: &'a mut [u16],
) -> &'a [u16] {
    let n = (whole.len() + C).saturating_sub(K * C);
    let shifted: [&[u16]; K] = std::array::from_fn(|j| &whole[j * C..][..n]);
    let boxes = &mut boxes[..n];
    for i in 0..n {
        boxes[i] = shifted.iter().fold(0, |sum, row| sum + row[i]);
    }
    boxes
}

fn sum_columns_any<'a, const C: usize>(
    width: usize,
    whole: &[u16],
    boxes: &'a mut [u16],
) -> &'a [u16] {
    let n = (whole.len() + C).saturating_sub(width * C);
    let boxes = &mut boxes[..n];
    boxes.copy_from_slice(&whole[..n]);
    for j in 1..width {
        boxes.iter_mut().zip(&whole[j * C..]).for_each(|(sum, &more)| *sum += more);
    }
    boxes
}

fn split_boxes<const C: usize>(
    source: &[u8],
    stride: usize,
    x: &Axis,
    y: &Axis,
    rows: &mut Rows,
    out: &mut [&mut [u8]],
) {
    let bytes = x.samples() * C;
    let columns = x.spans.len();
    rows.whole.resize(bytes, 0);
    rows.mixed.resize(bytes, 0);
    let total = u64::from(x.width) * u64::from(y.width);
    // Sums are whole numbers below 2^37, so a quarter of one keeps the product off the wrong side
    // of a whole quotient.
    let (reciprocal, half) = (1.0 / total as f64, total as f64 / 2.0 + 0.25);
    for (index, span) in y.spans.iter().enumerate() {
        mix_rows(rows, source, stride, span, y.unit);
        let mixed = &rows.mixed[..bytes];
        for (column, span) in x.spans.iter().enumerate() {
            let (from, to) = (span.from as usize * C, span.to as usize * C);
            let mut sums = [0_u32; C];
            for sample in mixed[from..to].chunks_exact(C) {
                for channel in 0..C {
                    sums[channel] += sample[channel];
                }
            }
            for (channel, plane) in out.iter_mut().enumerate() {
                let mut sum = u64::from(sums[channel]) * u64::from(x.unit);
                if span.lead > 0 {
                    sum += u64::from(mixed[from - C + channel]) * u64::from(span.lead);
                }
                if span.tail > 0 {
                    sum += u64::from(mixed[to + channel]) * u64::from(span.tail);
                }
                plane[index * columns + column] = ((sum as f64 + half) * reciprocal) as u8;
            }
        }
    }
}

/// The weighted sum of one span of rows, into `rows.mixed`.
fn mix_rows(rows: &mut Rows, source: &[u8], stride: usize, span: &Span, unit: u32) {
    let n = rows.whole.len();
    let whole = (span.to - span.from) as usize;
    if whole > 0 {
        sum_rows(&mut rows.whole, &source[span.from as usize * stride..], stride, whole);
    } else {
        rows.whole.fill(0);
    }
    // A row that has no part gets weight 0, so any row will do in its place.
    let row = |index: u32, weight: u32| {
        let index = if weight > 0 { index } else { span.from.saturating_sub(1) };
        (&source[index as usize * stride..][..n], weight as u16)
    };
    let (first, last) = (row(span.from.saturating_sub(1), span.lead), row(span.to, span.tail));
    mix(&mut rows.mixed[..n], (&rows.whole, unit as u16), first, last);
}

/// Weights fit 16 bits (2 x 16 384 at most): products of two 16-bit numbers vectorise, of 32-bit
/// ones hardly.
fn mix(into: &mut [u32], whole: (&[u16], u16), first: (&[u8], u16), last: (&[u8], u16)) {
    let n = into.len();
    let (sums, a, b) = (&whole.0[..n], &first.0[..n], &last.0[..n]);
    let weigh = |sample: u16, weight: u16| u32::from(sample) * u32::from(weight);
    for i in 0..n {
        into[i] = weigh(sums[i], whole.1)
            + weigh(u16::from(a[i]), first.1)
            + weigh(u16::from(b[i]), last.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrunk(source: &[u8], size: (u32, u32), target: (u32, u32)) -> Vec<u8> {
        let (mut x, mut y, mut rows) = (Axis::default(), Axis::default(), Rows::default());
        x.set(size.0, 1, target.0);
        y.set(size.1, 1, target.1);
        let mut out = vec![0; (target.0 * target.1) as usize];
        shrink::<1>(source, size.0 as usize, &x, &y, &mut rows, &mut [&mut out[..]]);
        out
    }

    /// The same average, slowly: each target pixel summed over the overlap with every source pixel.
    fn slowly(source: &[u8], (w, h): (u32, u32), (tw, th): (u32, u32)) -> Vec<u8> {
        let overlap = |from: u32, side: u32, to: u32, target: u32| {
            let (start, end) =
                ((to * side).max(from * target), ((to + 1) * side).min((from + 1) * target));
            u64::from(end.saturating_sub(start))
        };
        let total = u64::from(w) * u64::from(h);
        let mut out = Vec::new();
        for ty in 0..th {
            for tx in 0..tw {
                let mut sum = 0;
                for sy in 0..h {
                    for sx in 0..w {
                        sum += overlap(sx, w, tx, tw)
                            * overlap(sy, h, ty, th)
                            * u64::from(source[(sy * w + sx) as usize]);
                    }
                }
                out.push(((2 * sum + total) / (2 * total)) as u8);
            }
        }
        out
    }

    #[test]
    fn averages_are_exact_for_whole_and_for_split_boxes() {
        let source: Vec<u8> =
            (0..48 * 36).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for target in [
            (12, 9),
            (16, 12),
            (24, 36),
            (48, 36),
            (8, 9),
            (13, 9),
            (16, 11),
            (1, 1),
            (47, 35),
            (5, 36),
        ] {
            assert_eq!(
                shrunk(&source, (48, 36), target),
                slowly(&source, (48, 36), target),
                "to {target:?}"
            );
        }
    }

    #[test]
    fn division_rounds_every_sum_to_nearest() {
        for area in 1..=256_u32 {
            let sums: Vec<u16> = (0..=255 * area).map(|sum| sum as u16).collect();
            let mut out = vec![0; sums.len()];
            divide(&mut out, &sums, area);
            for (sum, quotient) in (0..).zip(out) {
                assert_eq!(u32::from(quotient), (2 * sum + area) / (2 * area), "{sum} / {area}");
            }
        }
    }

    #[test]
    fn halved_chroma_lies_under_its_two_pixels() {
        let mut axis = Axis::default();
        axis.set(5, 2, 5);
        let (mut y, mut rows, mut out) = (Axis::default(), Rows::default(), [0; 5]);
        y.set(1, 2, 1);
        shrink::<1>(&[10, 20, 30], 3, &axis, &y, &mut rows, &mut [&mut out[..]]);
        assert_eq!(out, [10, 10, 20, 20, 30]);
    }
}
