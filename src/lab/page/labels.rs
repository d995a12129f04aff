//! Where the names of the points of a plot go, so that none hides another. Pure geometry; pixels.

/// A point that wants a name beside it, most important first.
pub(super) struct Wish {
    /// The point.
    pub(super) at: (f64, f64),
    /// Room that its name takes.
    pub(super) size: (f64, f64),
}

/// An upright rectangle: left, top, right, bottom.
pub(super) type Rect = [f64; 4];

/// Size of bold names, pixels, with their greater width reckoned in.
pub(super) const STRONG: f64 = 15.5;
/// More names than this are not placed.
const MOST: usize = 80;

/// Left upper corner of each name; `None` where there is no room. `taken` is kept free (marks),
/// `lines` are crossed only where needs be.
pub(super) fn place(
    wishes: &[Wish],
    taken: &[Rect],
    lines: &[[f64; 4]],
    bounds: Rect,
) -> Vec<Option<Rect>> {
    let mut placed: Vec<Option<Rect>> = Vec::with_capacity(wishes.len());
    let mut leaders: Vec<[f64; 4]> = Vec::new();
    for wish in wishes {
        if placed.len() >= MOST {
            placed.push(None);
            continue;
        }
        let cost = |rect: &Rect| -> Option<f64> {
            let inside = rect[0] >= bounds[0]
                && rect[1] >= bounds[1]
                && rect[2] <= bounds[2]
                && rect[3] <= bounds[3];
            let free = !placed.iter().flatten().chain(taken).any(|other| overlap(rect, other));
            if !inside || !free {
                return None;
            }
            let leader = leader(wish.at, rect);
            let away = (leader[0] - leader[2]).hypot(leader[1] - leader[3]);
            let hidden = leaders.iter().filter(|line| crosses(line, rect)).count()
                + placed.iter().flatten().filter(|other| crosses(&leader, other)).count();
            let tangled = leaders.iter().filter(|line| meet(line, &leader)).count();
            let over = lines.iter().filter(|line| crosses(line, rect)).count();
            let strange = wishes
                .iter()
                .filter(|other| other.at != wish.at && gap(rect, other.at) < 13.0)
                .count();
            Some(
                away + 40.0 * strange as f64
                    + 200.0 * hidden as f64
                    + 60.0 * tangled as f64
                    + 25.0 * over as f64,
            )
        };
        let best = candidates(wish)
            .filter_map(|rect| cost(&rect).map(|cost| (cost, rect)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, rect)) = best {
            leaders.push(leader(wish.at, &rect));
        }
        placed.push(best.map(|(_, rect)| rect));
    }
    placed
}

/// From the point to the nearest place of its name.
pub(super) fn leader((x, y): (f64, f64), rect: &Rect) -> [f64; 4] {
    let middle = (rect[1] + rect[3]) / 2.0;
    let side = if x < rect[0] {
        (rect[0], middle)
    } else if x > rect[2] {
        (rect[2], middle)
    } else {
        (x, if y < rect[1] { rect[1] } else { rect[3] })
    };
    [x, y, side.0, side.1]
}

/// Beside the point first, then further out, all around.
fn candidates(wish: &Wish) -> impl Iterator<Item = Rect> {
    let ((x, y), (width, height)) = (wish.at, wish.size);
    let rings =
        [11.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0, 92.0, 112.0, 136.0, 164.0, 196.0, 232.0, 272.0];
    rings.into_iter().flat_map(move |ring| {
        (0..24).map(move |direction: u32| {
            let angle = f64::from(direction) * std::f64::consts::TAU / 24.0;
            let (dx, dy) = (angle.cos() * ring, angle.sin() * ring);
            let left = x + dx
                - if dx.abs() < 0.3 * ring {
                    width / 2.0
                } else if dx < 0.0 {
                    width
                } else {
                    0.0
                };
            let top = y + dy
                - if dy.abs() < 0.3 * ring {
                    height / 2.0
                } else if dy < 0.0 {
                    height
                } else {
                    0.0
                };
            [left, top, left + width, top + height]
        })
    })
}

/// Distance of a point from a rectangle.
fn gap(rect: &Rect, (x, y): (f64, f64)) -> f64 {
    (rect[0] - x).max(x - rect[2]).max(0.0).hypot((rect[1] - y).max(y - rect[3]).max(0.0))
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// True if the line from (0, 1) to (2, 3) touches `rect`.
fn crosses(line: &[f64; 4], rect: &Rect) -> bool {
    let inside = |x: f64, y: f64| x > rect[0] && x < rect[2] && y > rect[1] && y < rect[3];
    let [left, top, right, bottom] = *rect;
    inside(line[0], line[1])
        || inside(line[2], line[3])
        || meet(line, &[left, top, right, bottom])
        || meet(line, &[left, bottom, right, top])
}

/// True if two lines cross.
fn meet(a: &[f64; 4], b: &[f64; 4]) -> bool {
    let side =
        |l: &[f64; 4], x: f64, y: f64| (l[2] - l[0]) * (y - l[1]) - (l[3] - l[1]) * (x - l[0]);
    side(a, b[0], b[1]) * side(a, b[2], b[3]) < 0.0
        && side(b, a[0], a[1]) * side(b, a[2], a[3]) < 0.0
}

/// Room that `words` take at `size` pixels a line, rather too much than too little.
pub(super) fn room(words: &str, size: f64) -> (f64, f64) {
    let wide = |character: char| match character {
        'i' | 'l' | 'j' | 'f' | 't' | 'r' | '.' | ',' | ':' | '|' | '-' | ' ' => 0.36,
        'm' | 'w' | 'M' | 'W' | '%' => 0.92,
        'A'..='Z' => 0.7,
        character if character > '\u{2e80}' => 1.05,
        _ => 0.58,
    };
    (words.chars().map(wide).sum::<f64>() * size + 4.0, size * 1.25)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_and_rectangles_meet_where_they_do() {
        assert!(
            crosses(&[0.0, 5.0, 20.0, 5.0], &[5.0, 0.0, 10.0, 10.0])
                && crosses(&[6.0, 6.0, 50.0, 6.0], &[5.0, 0.0, 10.0, 10.0])
        );
        assert!(!crosses(&[0.0, 20.0, 20.0, 20.0], &[5.0, 0.0, 10.0, 10.0]));
        assert_eq!(leader((0.0, 5.0), &[10.0, 0.0, 30.0, 8.0]), [0.0, 5.0, 10.0, 4.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn no_name_hides_another_or_leaves_the_plot(points in prop::collection::vec((0.0..500.0f64, 0.0..300.0f64), 0..40)) {
            let wishes: Vec<Wish> = points.iter().map(|at| Wish { at: *at, size: (90.0, 14.0) }).collect();
            let bounds = [0.0, 0.0, 500.0, 300.0];
            let taken = [[200.0, 100.0, 260.0, 140.0]];
            let placed = place(&wishes, &taken, &[], bounds);
            prop_assert_eq!(placed.len(), wishes.len());
            let rects: Vec<Rect> = placed.into_iter().flatten().collect();
            for (place, rect) in rects.iter().enumerate() {
                prop_assert!(rect[0] >= 0.0 && rect[1] >= 0.0 && rect[2] <= 500.0 && rect[3] <= 300.0);
                prop_assert!(!overlap(rect, &taken[0]) && rects[..place].iter().all(|other| !overlap(rect, other)));
            }
        }
    }
}
