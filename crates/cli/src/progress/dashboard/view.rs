//! The layout of the screen.

use std::time::Instant;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Stylize,
    text::{Line, Span},
    widgets::Paragraph,
};
use resnet::train::Started;
use resnet_formats::{Shown, brief};

use super::{charts, palette::Palette, state::State};
use crate::{print, progress::position::Position};

/// Columns and rows of the smallest supported terminal.
const MIN_SIZE: [u16; 2] = [40, 10];

/// Draws a run. On small screens rows go first to bars, help and curves, then to header,
/// checkpoints and notes.
pub(super) fn draw(frame: &mut Frame, state: &State, palette: Palette, now: Instant) {
    let area = frame.area();
    if area.width < MIN_SIZE[0] || area.height < MIN_SIZE[1] {
        return too_small(frame, area);
    }
    let rows = area.height;
    let header = if rows < 14 { 1 } else { 2 };
    let facts = if rows < 16 { 0 } else { 2 };
    let notes = match state.notes.len() as u16 {
        n if rows >= 40 => n.min(5),
        n if rows >= 20 => n.min(1),
        _ => 0,
    };
    let rows = [
        Constraint::Length(header),
        Constraint::Fill(1),
        Constraint::Length(if state.estimate.position().is_some() { 3 } else { 2 }),
        Constraint::Length(facts),
        Constraint::Length(notes),
        Constraint::Length(1),
    ];
    let [header, curves, bars, facts, notes, help] = Layout::vertical(rows).areas(area);
    if let Some(run) = &state.run {
        frame.render_widget(Paragraph::new(title(run)), header);
    }
    draw_curves(frame, curves, state, palette);
    draw_bars(frame, bars, state, palette);
    frame.render_widget(Paragraph::new(vec![best(state, palette), saved(state, now)]), facts);
    let skip = state.notes.len().saturating_sub(usize::from(notes.height));
    let lines = state.notes.iter().skip(skip).map(|note| Line::from(note.as_str()));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), notes);
    frame.render_widget(Paragraph::new(keys(help.width)).dim(), help);
}

fn too_small(frame: &mut Frame, area: Rect) {
    let [columns, rows] = MIN_SIZE;
    let text = vec![
        Line::from(format!("terminal too small: {}x{}", area.width, area.height)),
        Line::from(format!("at least {columns}x{rows} is needed")),
        Line::from("q: plain bar"),
    ];
    frame.render_widget(Paragraph::new(text), area);
}

/// Network, data, recipe, device and folder.
fn title(run: &Started) -> Vec<Line<'static>> {
    let Started { arch, data, recipe, batch_size, machine, .. } = run;
    let what = format!("{arch} on {}", brief(data));
    let epochs = print::counted(run.epochs, "epoch");
    let how = format!(", recipe {}, {epochs}, batches of {batch_size}", brief(recipe));
    let (dtype, device, workers) = (machine.dtype, machine.device(), machine.workers());
    vec![
        Line::from(vec![what.bold(), how.into()]),
        Line::from(format!("{dtype} on {device}, {workers}, in {}", run.folder.shown())),
    ]
}

/// Loss and accuracy; below them learning rate and throughput if there is room.
fn draw_curves(frame: &mut Frame, area: Rect, state: &State, palette: Palette) {
    let low = if area.height < 14 { 0 } else { (area.height / 3).min(12) };
    let [high, low] = Layout::vertical([Constraint::Fill(1), Constraint::Length(low)]).areas(area);
    let halves = |area: Rect| -> [Rect; 2] {
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area)
    };
    // A chart needs about 30 columns.
    let [loss, accuracy] = if area.width >= 62 {
        halves(high)
    } else if high.height >= 12 {
        Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(high)
    } else {
        [Rect::ZERO, high]
    };
    if !loss.is_empty() {
        charts::loss(frame, loss, state, palette);
    }
    charts::accuracy(frame, accuracy, state, palette);
    if !low.is_empty() {
        let [rate, throughput] = halves(low);
        charts::rate(frame, rate, state);
        charts::throughput(frame, throughput, state);
    }
}

/// A bar of progress.
struct Bar {
    name: String,
    /// What is done, from 0 to 1.
    share: f64,
    count: String,
    /// Remaining seconds.
    left: f64,
}

/// Progress of the epoch, of the run and of all runs, and their remaining time.
fn draw_bars(frame: &mut Frame, area: Rect, state: &State, palette: Palette) {
    let Some(batch) = &state.batch else {
        return frame.render_widget(Paragraph::new("running the first batch"), area);
    };
    let left = state.estimate.remaining(batch);
    let grouped = |n: u64| print::grouped(n as usize);
    let epoch = match state.evaluating {
        Some((done, images)) => {
            let [done, images] = [done, images].map(print::grouped);
            format!("evaluating: {done} of {images}")
        }
        None => format!("batch {} of {}", grouped(batch.batch), grouped(batch.batches)),
    };
    let run = format!("step {} of {}", grouped(batch.step), grouped(batch.total_steps));
    let share = |done: u64, all: u64| done as f64 / all.max(1) as f64;
    let of_run = share(batch.step, batch.total_steps);
    let mut bars = vec![
        Bar {
            name: format!("epoch {}/{}", batch.epoch, batch.epochs),
            share: share(batch.batch, batch.batches),
            count: epoch,
            left: left.epoch,
        },
        Bar { name: "run".to_owned(), share: of_run, count: run, left: left.run },
    ];
    if let (Some(Position { run, runs, .. }), Some(left)) = (state.estimate.position(), left.all) {
        let share = (run as f64 - 1.0 + of_run) / runs as f64;
        let count = format!("run {run} of {runs}");
        bars.push(Bar { name: "all".to_owned(), share, count, left });
    }
    let time = |bar: &Bar| format!("{} left", print::clock(bar.left));
    let longest = |length: fn(&Bar) -> usize| bars.iter().map(length).max().unwrap_or(0);
    let label = longest(|bar| bar.name.len());
    let text = longest(|bar| bar.count.len()).max(22);
    let times = bars.iter().map(|bar| time(bar).len()).max().unwrap_or(0).max(12);
    // Counts are dropped first on a narrow screen.
    let wide = usize::from(area.width) >= label + text + times + 20;
    let taken = label + times + 4 + 5 + if wide { text + 2 } else { 0 };
    let length = usize::from(area.width).saturating_sub(taken);
    let lines = bars.iter().map(|bar| {
        let (Bar { name, share, count, .. }, left) = (bar, time(bar));
        let full = (share.clamp(0.0, 1.0) * length as f64).round() as usize;
        let count = if wide { format!("{count:<text$}  ") } else { String::new() };
        Line::from(vec![
            Span::from(format!("{name:<label$}  ")),
            Span::styled("━".repeat(full), palette.train()),
            Span::from("─".repeat(length - full)).dim(),
            Span::from(format!(" {:>3.0}%  {count}{left:>times$}", 100.0 * share)),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

/// The best epoch. It also serves as the legend of the marks.
fn best(state: &State, palette: Palette) -> Line<'static> {
    let Some(best) = &state.best else { return Line::from("best   no epoch is finished yet") };
    let accuracy = |mark: charts::Mark, name, style, accuracy| {
        Span::styled(format!("{} {name} {accuracy:.2}%  ", mark.symbol()), style)
    };
    let validation = best
        .validation_accuracy
        .map(|value| accuracy(charts::VALIDATION, "validation", palette.validation(), value));
    let test =
        best.test_accuracy.map(|value| accuracy(charts::TEST, "test", palette.test(), value));
    let begin = Span::from(format!("best   epoch {}: accuracy  ", best.epoch));
    Line::from_iter([Some(begin), validation, test].into_iter().flatten())
}

fn saved(state: &State, now: Instant) -> Line<'static> {
    Line::from(match &state.saved {
        None => "saved  no checkpoint yet".to_owned(),
        Some((file, epoch, when)) => {
            let ago = print::clock(now.saturating_duration_since(*when).as_secs_f64());
            format!("saved  {file} in epoch {epoch}, {ago} ago")
        }
    })
}

fn keys(width: u16) -> &'static str {
    if width < 76 {
        "q plain bar  ^C save, stop  ^Z suspend"
    } else {
        "q, Esc: plain bar (training continues)   Ctrl-C: save and stop   Ctrl-Z: suspend"
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
