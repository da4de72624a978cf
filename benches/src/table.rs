//! The table.

use std::fmt::Write as _;

use crate::load::Measured;
use crate::rows::Arm;

/// What a row must reach.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// So many per second.
    Rate(f64),
    /// This part of the raw limit; of a database's it is the one with all the facts.
    OfLimit(f64),
    /// So many times cqrs-es.
    OfPeer(f64),
}

/// What was measured for a row, round by round; empty where there is nobody to compare with.
#[derive(Default)]
pub struct Runs {
    pub limit: Vec<Measured>,
    /// The raw limit of a database with numbers only.
    pub lean: Vec<Measured>,
    pub cqrs: Vec<Measured>,
    pub evento: Vec<Measured>,
    pub ours: Vec<Measured>,
}

impl Runs {
    pub fn of(&mut self, arm: Arm) -> &mut Vec<Measured> {
        match arm {
            Arm::Limit => &mut self.limit,
            Arm::Lean => &mut self.lean,
            Arm::Cqrs => &mut self.cqrs,
            Arm::Evento => &mut self.evento,
            Arm::Ours => &mut self.ours,
        }
    }
}

/// A line of the table, as text.
#[derive(Debug)]
pub struct Line {
    cells: Vec<String>,
}

/// The run whose rate is the median.
fn median(mut runs: Vec<Measured>) -> Option<Measured> {
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let middle = runs.len() / 2;
    (!runs.is_empty()).then(|| runs.swap_remove(middle))
}

impl Line {
    pub fn of_commands(name: &str, targets: &[Target], runs: Runs) -> Self {
        let Runs { limit, lean, cqrs, evento, ours } = runs;
        // Round by round: what disturbs one round disturbs both sides of its ratio.
        let ratio = |other: &[Measured]| {
            let mut ratios: Vec<f64> = ours.iter().zip(other).map(|(ours, other)| ours.rate / other.rate).collect();
            ratios.sort_by(f64::total_cmp);
            ratios.get(ratios.len() / 2).copied()
        };
        let (to_limit, to_lean, to_cqrs, to_evento) = (ratio(&limit), ratio(&lean), ratio(&cqrs), ratio(&evento));
        let (limit, lean, cqrs, evento) = (median(limit), median(lean), median(cqrs), median(evento));
        let ours = median(ours).unwrap_or(Measured { rate: 0.0, latency: [0; 3] });
        let rate = |it: &Option<Measured>| it.as_ref().map_or_else(|| "–".to_owned(), |it| grouped(it.rate));
        let mut wanted = Vec::new();
        let mut reached = Some(true);
        let is_compared_only = targets.is_empty();
        for target in targets {
            let (text, met) = match target {
                Target::Rate(rate) => (format!("≥ {}/s", grouped(*rate)), Some(ours.rate >= *rate)),
                Target::OfLimit(part) => {
                    (format!("≥ {:.0} % of the limit", part * 100.0), to_limit.map(|it| it >= *part))
                }
                Target::OfPeer(times) => (format!("≥ {times:.0} × cqrs-es"), to_cqrs.map(|it| it >= *times)),
            };
            wanted.push(text);
            reached = match (reached, met) {
                (Some(before), Some(met)) => Some(before && met),
                _ => None,
            };
        }
        let peers = [&cqrs, &evento];
        let best = peers.into_iter().flatten().chain([&ours]).map(|it| it.rate).fold(0.0, f64::max);
        // Whoever stores less than all the facts of each event may well pass the first limit; not the faster one of the two.
        let fastest = [&limit, &lean].into_iter().flatten().map(|it| it.rate).reduce(f64::max);
        let beaten = fastest.is_some_and(|limit| best > limit * 1.05);
        let behind = [to_cqrs, to_evento].into_iter().flatten().any(|it| it < 1.0);
        let percent = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{:.0} %", it * 100.0));
        let faster = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.1} ×"));
        let [p50, p99, p999] = ours.latency.map(|nanos| if nanos == 0 { "–".to_owned() } else { times(nanos) });
        Self {
            cells: vec![
                name.to_owned(),
                rate(&limit),
                rate(&lean),
                rate(&cqrs),
                rate(&evento),
                grouped(ours.rate),
                percent(to_limit),
                percent(to_lean),
                faster(to_cqrs),
                faster(to_evento),
                if is_compared_only { dash() } else { wanted.join(", ") },
                format!(
                    "{}{}{}",
                    if is_compared_only { dash() } else { verdict(reached) },
                    if beaten { " †" } else { "" },
                    if behind { ", **behind a peer**" } else { "" }
                ),
                p50,
                p99,
                p999,
            ],
        }
    }

    /// Cost on one thing against cost on another.
    pub fn of_ratio(name: String, base: String, ours: String, ratio: f64, at_most: f64) -> Self {
        let mut cells = vec![name, base, dash(), dash(), dash(), ours, format!("{ratio:.2} ×"), dash(), dash(), dash()];
        cells.extend([format!("≤ {at_most} ×"), verdict(Some(ratio <= at_most)), dash(), dash(), dash()]);
        Self { cells }
    }

    pub fn of_time(name: &str, nanos: u64, at_most: u64) -> Self {
        let mut cells = vec![name.to_owned(), dash(), dash(), dash(), dash(), times(nanos)];
        cells.extend([dash(), dash(), dash(), dash()]);
        cells.extend([format!("≤ {}", times(at_most)), verdict(Some(nanos <= at_most)), dash(), dash(), dash()]);
        Self { cells }
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn verdict(reached: Option<bool>) -> String {
    match reached {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "not measured",
    }
    .to_owned()
}

/// 1,234,567
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that suits it.
pub fn times(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        _ => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}

pub fn render(lines: &[Line], seconds: f64, rounds: usize, peers: bool) -> String {
    let head = [
        "work (per second)",
        "raw limit",
        "lean limit",
        "cqrs-es 0.5",
        "evento 1.8",
        "angzarr",
        "of the limit",
        "of the lean limit",
        "to cqrs-es",
        "to evento",
        "target",
        "reached",
        "p50",
        "p99",
        "p99.9",
    ];
    let mut text = String::new();
    let mut row = |cells: &mut dyn Iterator<Item = &str>| {
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    row(&mut head.into_iter());
    row(&mut head.iter().map(|_| "---"));
    for line in lines {
        row(&mut line.cells.iter().map(String::as_str));
    }
    let _ = write!(
        text,
        "\n1,000 accounts, one event of about 10 bytes for each command, each command sees the current balance. Medians of \
         {rounds} interleaved rounds of {seconds} s, ratios taken round by round; latencies are ours, of the median round. Durable is WAL with synchronous FULL \
         for everybody, relaxed is synchronous NORMAL; PostgreSQL runs as it is installed, and commits are on disk. The raw limits of the \
         databases store every fact of an event as it is, and targets are \
         shares of them; the lean limits store numbers only, which is less than an event store can do with. Concurrent rows run on two worker threads. Only ratios within one run \
         count."
    );
    if lines.iter().any(|line| line.cells.iter().any(|cell| cell.contains('†'))) {
        text.push_str(
            " † Somebody was faster than either limit, so in this run they did not show what the hardware allows: a share of \
             them proves nothing here, neither for us nor against us.",
        );
    }
    if peers {
        text.push_str(" The memory store of cqrs-es prints two lines for each command; its output goes to /dev/null.");
    }
    text
}
