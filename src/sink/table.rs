//! The summary as a table for people. Pure: a [`Summary`] in, text out.

use std::fmt::{self, Display, Write as _};

use super::text::Style;
use crate::escape::Escaped;
use crate::observe::{Part, Quantiles, Stage, Summary};
use crate::report::DropReason;

/// Columns of a full bar.
const BAR: usize = 20;

/// The table, its last line feed included.
pub fn table(summary: &Summary, style: Style) -> String {
    let mut out = String::with_capacity(2048);
    compose(&mut out, summary, style).expect("a String takes every character");
    // Cells are filled up with spaces, which nobody wants at the end of a line.
    out.lines().fold(String::with_capacity(out.len()), |text, line| text + line.trim_end() + "\n")
}

fn compose(out: &mut String, summary: &Summary, style: Style) -> fmt::Result {
    let all = &summary.all;
    write!(
        out,
        "{}",
        style.paint("1", format_args!("{} frames in {:.1} s", all.frames, summary.duration_s))
    )?;
    if let Some(fps) = all.fps {
        write!(out, ", {fps:.1} fps")?;
    }
    if let Some(mb) = summary.rss_mb {
        write!(out, ", {mb:.0} MB")?;
    }
    let about = format_args!(
        "   policy {}, squint {}",
        Escaped(&summary.policy),
        Escaped(&summary.version)
    );
    writeln!(out, "{}", style.paint("2", about))?;
    if all.frames == 0 {
        return Ok(());
    }
    out.push('\n');
    outcomes(out, all, style)?;
    engines(out, all, style)?;
    stages(out, all, style)?;
    if summary.cameras.0.len() > 1 {
        cameras(out, summary, style)?;
    }
    if let Some(accuracy) = summary.accuracy {
        let percent = |share: f64| share * 100.0;
        write!(
            out,
            "\n  accuracy {:.1} % (95 %: {:.1} to ",
            percent(accuracy.top1),
            percent(accuracy.top1_ci95[0])
        )?;
        write!(
            out,
            "{:.1}), top five {:.1} %, {} labels",
            percent(accuracy.top1_ci95[1]),
            percent(accuracy.top5),
            accuracy.n
        )?;
        if accuracy.unanswered > 0 {
            let note = format_args!(", {} not answered", accuracy.unanswered);
            write!(out, "{}", style.paint("33", note))?;
        }
        out.push('\n');
    }
    for (name, sink) in summary.sinks.0.iter().filter(|(_, sink)| sink.lost > 0) {
        let note = format_args!(
            "records lost: {} of {} ({})",
            sink.lost,
            sink.sent + sink.lost,
            Escaped(name)
        );
        writeln!(out, "\n  {}", style.paint("31", note))?;
    }
    if let Some(sentence) = missing(all) {
        writeln!(out, "\n  {}", style.paint("31", sentence))?;
    }
    Ok(())
}

/// That most answers are missing, in a sentence, and why; `None` if they are not.
pub fn missing(all: &Part) -> Option<String> {
    if !all.is_mostly_missing() {
        return None;
    }
    let late = all.late + all.dropped.get(DropReason::Late);
    let abstained = all.abstained.saturating_sub(all.declined);
    let unreadable = all.dropped.get(DropReason::Unreadable);
    let reasons = [
        ("abstained", abstained),
        ("failed", all.failed),
        ("unreadable", unreadable),
        ("late", late),
    ];
    let reasons: Vec<_> = reasons
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    let advice = match abstained + late {
        0 => "",
        _ => "; a longer deadline-ms gives the engines more time",
    };
    Some(format!(
        "only {} of {} frames were answered in time ({}){advice}",
        all.in_time,
        all.expected(),
        reasons.join(", ")
    ))
}

fn outcomes(out: &mut String, all: &Part, style: Style) -> fmt::Result {
    let dropped = all.dropped.total();
    let rows = [
        ("answered", all.answered, "32"),
        ("reused", all.reused, "32"),
        ("abstained", all.abstained, "33"),
        ("failed", all.failed, "31"),
        ("dropped", dropped, "33"),
    ];
    for (word, count, colour) in
        rows.into_iter().filter(|(word, count, _)| *count > 0 || *word == "answered")
    {
        let share = count as f64 / all.frames.max(1) as f64;
        write!(
            out,
            "  {word:<9} {count:>8}  {}  {}",
            percent(Some(share)),
            style.paint(colour, bar(share, BAR))
        )?;
        if word == "dropped" {
            let mut sign = "  ";
            for why in DropReason::ALL.into_iter().filter(|why| all.dropped.get(*why) > 0) {
                write!(out, "{sign}{} {}", all.dropped.get(why), why.name())?;
                sign = ", ";
            }
        }
        out.push('\n');
    }
    if all.late > 0 {
        let settled = all.settled().max(1) as f64;
        let note = format_args!("  of those with an outcome, settled after the deadline");
        writeln!(
            out,
            "  {:<9} {:>8}  {}{}",
            "late",
            all.late,
            percent(Some(all.late as f64 / settled)),
            style.paint("2", note)
        )?;
    }
    Ok(())
}

fn engines(out: &mut String, all: &Part, style: Style) -> fmt::Result {
    let ids = all.engines.0.iter().map(|(id, _)| id.chars().count());
    let wide = ids.max().unwrap_or(0).clamp(9, 32);
    let head = format_args!(
        "\n  {:<wide$} {:>8}  {:<28} {:>9} {:>9}",
        "engine", "frames", "share", "run p50", "p95"
    );
    writeln!(out, "{}", style.paint("2", head))?;
    for (id, engine) in &all.engines.0 {
        let id = Escaped(id).to_string();
        let share = style.paint("36", bar(engine.share.unwrap_or(0.0), BAR));
        write!(out, "  {id:<wide$} {:>8}  {}  {share}", engine.runs, percent(engine.share))?;
        if let Some(run) = engine.run_us {
            write!(out, " {} {}", Time(run.p50), Time(run.p95))?;
        }
        if engine.failed > 0 {
            write!(out, "  {}", style.paint("31", format_args!("{} failed", engine.failed)))?;
        }
        out.push('\n');
    }
    if all.escalated > 0 {
        let share = percent(all.escalated_share);
        writeln!(out, "  {:<wide$} {:>8}  {share}", "escalated", all.escalated)?;
    }
    Ok(())
}

fn stages(out: &mut String, all: &Part, style: Style) -> fmt::Result {
    let head =
        format_args!("\n  {:<11} {:>9} {:>9} {:>9} {:>9}", "time", "p50", "p95", "p99", "max");
    writeln!(out, "{}", style.paint("2", head))?;
    for stage in Stage::ALL {
        if let Some(Quantiles { p50, p95, p99, max }) = all.latency_us.get(stage.name()) {
            writeln!(
                out,
                "  {:<11} {} {} {} {}",
                stage.name(),
                Time(*p50),
                Time(*p95),
                Time(*p99),
                Time(*max)
            )?;
        }
    }
    Ok(())
}

fn cameras(out: &mut String, summary: &Summary, style: Style) -> fmt::Result {
    let head = format_args!(
        "\n  {:<16} {:>8} {:>9} {:>8} {:>7} {:>9} {:>9}",
        "camera", "frames", "answered", "dropped", "fps", "age p50", "p95"
    );
    writeln!(out, "{}", style.paint("2", head))?;
    for (name, part) in &summary.cameras.0 {
        let name = Escaped(name).to_string();
        write!(
            out,
            "  {name:<16} {:>8} {:>9} {:>8}",
            part.frames,
            part.answered + part.reused,
            part.dropped.total()
        )?;
        write!(out, " {:>7.1}", part.fps.unwrap_or(0.0))?;
        if let Some(age) = part.latency_us.get(Stage::Age.name()) {
            write!(out, " {} {}", Time(age.p50), Time(age.p95))?;
        }
        out.push('\n');
    }
    Ok(())
}

/// `share` (0..=1) of `columns`, in eighths of a column; filled up with spaces. Anything above
/// nothing shows.
pub(super) fn bar(share: f64, columns: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar.extend(std::iter::repeat_n(' ', columns - eighths.div_ceil(8)));
    bar
}

/// Six columns: ` 4.2 %`; spaces if there is no share.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| " ".repeat(7), |share| format!("{:>5.1} %", share * 100.0))
}

/// Microseconds as people say them, nine columns: `  840 µs`, ` 12.4 ms`, `  1.25 s`.
struct Time(u64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            micros @ 0..1000 => write!(f, "{micros:>6} µs"),
            micros @ 1000..1_000_000 => write!(f, "{:>6.1} ms", micros as f64 / 1e3),
            micros => write!(f, "{:>7.2} s", micros as f64 / 1e6),
        }
    }
}
