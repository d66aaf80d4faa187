//! The table of all kinds of windows: which cell must hold what, and the lines that docs/performance.md shows.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use gemini_sim::Window;

use crate::limit_run::{Figures, Limit, Load, Run};

/// Input tokens a minute of the runs that are limited by tokens.
pub const TOKENS: u64 = 100_000;

/// A kind of window, and what is asked there.
#[derive(Clone, Copy, Debug)]
struct Column {
    name: &'static str,
    window: Window,
    /// A limiter that knows nothing of it is refused; it has to learn the pace.
    learns: bool,
}

const COLUMNS: [Column; 8] = [
    Column { name: "fixed minute", window: Window::Fixed { phase_ms: 0 }, learns: false },
    Column { name: "fixed, other phase", window: Window::Fixed { phase_ms: 36_300 }, learns: false },
    Column { name: "from first request", window: Window::FromFirst, learns: false },
    Column { name: "sliding", window: Window::Sliding, learns: false },
    Column { name: "bucket of L", window: Window::Bucket { burst: 1.0 }, learns: false },
    Column { name: "two buckets", window: Window::TwoMinutes, learns: true },
    Column { name: "bucket of L/10", window: Window::Bucket { burst: 0.1 }, learns: true },
    Column { name: "bucket of 2 s", window: Window::Bucket { burst: 1.0 / 30.0 }, learns: true },
];

/// One row: a limit under a load, against every kind of window that counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is limited.
    pub limit: Limit,
    /// Who calls.
    pub load: Load,
}

/// Least utilisation in percent and most refusals in 1000 calls.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    used: f64,
    refused: f64,
}

/// The medians of a cell's runs.
#[derive(Clone, Copy, Debug)]
struct Cell {
    utilisation: f64,
    served: f64,
    refused: f64,
    wait: f64,
    bound: Bound,
}

/// See the module.
#[derive(Debug)]
pub struct Table {
    rows: Vec<(Row, Vec<Option<Cell>>)>,
    hours: f64,
    seeds: usize,
}

/// All that is asked.
pub fn all_rows() -> Vec<Row> {
    let requests = |load| [10, 60, 1000].map(|limit| Row { limit: Limit::Requests(limit), load });
    let tokens = Row { limit: Limit::Tokens(TOKENS), load: Load::Saturating };
    requests(Load::Saturating).into_iter().chain(requests(Load::Bursts)).chain([tokens]).collect()
}

/// Runs each cell once for each seed, on all processors.
pub fn simulate(rows: &[Row], minutes: u64, seeds: &[u64]) -> Table {
    let cells: Vec<(Row, usize)> = rows
        .iter()
        .flat_map(|row| (0..COLUMNS.len()).map(|column| (*row, column)))
        .filter(|(row, column)| row.bound(&COLUMNS[*column]).is_some())
        .collect();
    let jobs: Vec<(usize, Run)> = (0..)
        .zip(&cells)
        .flat_map(|(cell, (row, column))| {
            let Row { limit, load } = *row;
            let window = COLUMNS[*column].window;
            seeds.iter().map(move |seed| (cell, Run { window, limit, load, minutes, seed: *seed }))
        })
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<usize, Vec<Figures>>::new()));
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((cell, run)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figures = run.figures();
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .entry(*cell)
                        .or_default()
                        .push(figures);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut table = Table { rows: Vec::new(), hours: minutes as f64 / 60.0, seeds: seeds.len() };
    for row in rows {
        let of = |column: usize| cells.iter().position(|cell| *cell == (*row, column));
        let cell = |column: usize| Some(Cell::of(&done[&of(column)?], row.bound(&COLUMNS[column])?));
        table.rows.push((*row, (0..COLUMNS.len()).map(cell).collect()));
    }
    table
}

impl Row {
    /// What is asked of it there; `None` where it is not run.
    fn bound(&self, column: &Column) -> Option<Bound> {
        match (self.limit, column.learns) {
            (Limit::Requests(_), false) => Some(Bound { used: 97.5, refused: 0.0 }),
            (Limit::Requests(..=10), true) => Some(Bound { used: 87.0, refused: 6.0 }),
            (Limit::Requests(_), true) => Some(Bound { used: 95.5, refused: 6.0 }),
            // how tokens are counted is known for sliding and for fixed minutes only
            (Limit::Tokens(_), _) => matches!(column.window, Window::Sliding | Window::Fixed { .. })
                .then_some(Bound { used: 95.0, refused: 2.0 }),
        }
    }

    fn name(&self) -> String {
        let load = match self.load {
            Load::Saturating => "saturating",
            Load::Bursts => "bursts",
        };
        match self.limit {
            Limit::Requests(limit) => format!("L = {limit}, {load}"),
            Limit::Tokens(limit) => format!("{limit} tokens, {load}"),
        }
    }
}

impl Cell {
    fn of(runs: &[Figures], bound: Bound) -> Self {
        let median = |figure: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            utilisation: median(Figures::utilisation),
            served: median(Figures::served),
            refused: median(Figures::refused_per_1000),
            wait: median(Figures::mean_wait),
            bound,
        }
    }

    /// Under bursts there is less to do than the limit allows: of that as much must be done.
    fn kept(&self, load: Load) -> bool {
        let used = if load == Load::Saturating { self.utilisation } else { self.served };
        used >= self.bound.used && self.refused <= self.bound.refused
    }
}

impl Table {
    /// What is not as it should be, a line each.
    pub fn misses(&self) -> Vec<String> {
        let mut misses = Vec::new();
        for (row, cells) in &self.rows {
            for (column, cell) in COLUMNS.iter().zip(cells) {
                if let Some(cell) = cell.filter(|cell| !cell.kept(row.load)) {
                    let Cell { utilisation, served, refused, bound, .. } = cell;
                    misses.push(format!(
                        "{}, {}: {utilisation:.1} % used, {served:.1} % of what was offered served, {refused:.2} \
                         refused of 1000; asked: at least {} %, at most {}",
                        row.name(),
                        column.name,
                        bound.used,
                        bound.refused
                    ));
                }
            }
        }
        misses
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = if self.seeds == 1 { "one run".to_owned() } else { format!("median of {}", self.seeds) };
        writeln!(
            f,
            "{} virtual hours, {runs}. A cell: % of the limit used / refused of 1000 calls; under bursts (70 % of the \
             limit offered) also the mean wait in s.\n",
            self.hours
        )?;
        let mut head = "| the provider counts".to_owned();
        for column in COLUMNS {
            let _ = write!(head, " | {}", column.name);
        }
        writeln!(f, "{head} |\n|---|{}", "---|".repeat(COLUMNS.len()))?;
        for (row, cells) in &self.rows {
            let mut line = format!("| {}", row.name());
            for cell in cells {
                line += " | ";
                let _ = match cell {
                    None => write!(line, "-"),
                    Some(Cell { utilisation, refused, wait, .. }) => match row.load {
                        Load::Saturating => write!(line, "{utilisation:.1} / {refused:.2}"),
                        Load::Bursts => write!(line, "{utilisation:.1} / {refused:.2} / {wait:.0}"),
                    },
                };
            }
            writeln!(f, "{line} |")?;
        }
        let rows = "asked: windows that learn nothing 97.5 / 0; the last three 87.0 / 6 (L = 10), 95.5 / 6; tokens 95.0 / 2";
        write!(f, "\n{rows}; under bursts the first number is asked of what was offered.")
    }
}
