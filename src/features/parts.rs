//! Connected parts of a mask, as runs: 8-connected, found row by row with union-find.
//!
//! Serves edges and the main object. A part is named by the index of its first run, which is also
//! its first in reading order.

/// Pixels `start..end` of one row that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) row: u16,
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Run {
    /// Number of pixels.
    pub(super) fn length(self) -> u32 {
        u32::from(self.end - self.start)
    }
}

/// Runs of a mask and the part each belongs to.
#[derive(Default)]
pub(super) struct Parts {
    /// In reading order.
    pub(super) runs: Vec<Run>,
    /// For each run the index of the first run of its part.
    pub(super) part: Vec<u32>,
}

impl Parts {
    /// Finds the parts of `mask`: pixels whose lowest bit is set, row-major, `width` wide, at most
    /// 65 535 a side.
    pub(super) fn find(&mut self, mask: &[u8], width: usize) {
        self.runs.clear();
        self.part.clear();
        // Most runs possible, so that memory is settled by the size of the image and not by what it
        // shows.
        let most = width.div_ceil(2) * (mask.len() / width);
        self.runs.reserve(most);
        self.part.reserve(most);
        let mut above = 0..0;
        for (y, row) in mask.chunks_exact(width).enumerate() {
            let first = self.runs.len();
            self.collect(row, y as u16);
            self.part.extend(first as u32..self.runs.len() as u32);
            let mut candidate = above.start;
            for index in first..self.runs.len() {
                let run = self.runs[index];
                // Touching, also corner to corner: neither ends before the other starts.
                while candidate < above.end && self.runs[candidate].end < run.start {
                    candidate += 1;
                }
                for touching in candidate..above.end {
                    if self.runs[touching].start > run.end {
                        break;
                    }
                    self.join(touching as u32, index as u32);
                }
            }
            above = first..self.runs.len();
        }
        // A part's name is its smallest index, so one pass forward settles all.
        for index in 0..self.part.len() {
            self.part[index] = self.part[self.part[index] as usize];
        }
    }

    /// Appends the runs of one row, 64 pixels at a glance: a run starts and ends where a bit
    /// differs from the one before.
    fn collect(&mut self, row: &[u8], y: u16) {
        let (mut inside, mut start) = (false, 0);
        for (index, chunk) in row.chunks(64).enumerate() {
            let word = lowest_bits(chunk);
            let base = index as u32 * 64;
            let mut changes = word ^ (word << 1 | u64::from(inside));
            while changes != 0 {
                let at = (base + changes.trailing_zeros()) as u16;
                changes &= changes - 1;
                if inside {
                    self.runs.push(Run { row: y, start, end: at });
                } else {
                    start = at;
                }
                inside = !inside;
            }
        }
        if inside {
            self.runs.push(Run { row: y, start, end: row.len() as u16 });
        }
    }

    fn name(&mut self, mut index: u32) -> u32 {
        while self.part[index as usize] != index {
            let next = self.part[self.part[index as usize] as usize];
            self.part[index as usize] = next;
            index = next;
        }
        index
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.name(a), self.name(b));
        self.part[a.max(b) as usize] = a.min(b);
    }
}

/// The lowest bits of up to 64 bytes, first byte lowest.
fn lowest_bits(bytes: &[u8]) -> u64 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut word = 0;
    for (index, eight) in eights.iter().enumerate() {
        // The factor moves bit 8 i to bit 56 + i; no two terms meet.
        let bits = (u64::from_le_bytes(*eight) & 0x0101_0101_0101_0101)
            .wrapping_mul(0x0102_0408_1020_4080)
            >> 56;
        word |= bits << (8 * index);
    }
    let first = 8 * eights.len();
    rest.iter()
        .enumerate()
        .fold(word, |word, (index, byte)| word | u64::from(byte & 1) << (first + index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(picture: &[&str]) -> Vec<u32> {
        let mask: Vec<u8> = picture.concat().bytes().map(|c| u8::from(c == b'#')).collect();
        let mut parts = Parts::default();
        parts.find(&mask, picture[0].len());
        parts.part
    }

    #[test]
    fn runs_join_across_corners_and_arms_meet_below() {
        assert_eq!(parts(&["#.#", ".#."]), [0, 0, 0], "corners touch");
        assert_eq!(parts(&["#..#", "#..#", "####"]), [0, 0, 0, 0, 0], "a U is one part");
        assert_eq!(parts(&["##..##", "......", "##..##"]), [0, 1, 2, 3]);
        assert!(parts(&["...", "..."]).is_empty());
    }

    #[test]
    fn runs_cross_word_borders() {
        for width in [63, 64, 65, 130, 200] {
            let mut mask = vec![1_u8; width * 2];
            mask[width + 62] = 0;
            let mut parts = Parts::default();
            parts.find(&mask, width);
            let total: u32 = parts.runs.iter().map(|run| run.length()).sum();
            assert_eq!(total as usize, width * 2 - 1, "width {width}");
            assert_eq!(parts.runs[0], Run { row: 0, start: 0, end: width as u16 });
            assert!(parts.part.iter().all(|&part| part == 0));
        }
    }
}
