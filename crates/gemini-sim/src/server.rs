//! The service on a port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::attempt::Attempt;
use crate::check::ConfigError;
use crate::config::Config;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::routes;
use crate::sim_clock::SimClock;
use crate::state::State;
use crate::wire::{Cutter, Door};

/// Where and how fast a server runs.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Address to listen on; default: a free port of 127.0.0.1. Whoever reaches it can also reach `/sim/`.
    pub listen: SocketAddr,
    /// Simulated seconds in a real one, more than 0; default: 1. Latencies shrink alike.
    pub speed: f64,
    /// Seed of all dice; default: 0.
    pub seed: u64,
    /// Simulated time at the start, in ms since 1970; default: the real time.
    pub start_ms: Option<u64>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), speed: 1.0, seed: 0, start_ms: None }
    }
}

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself.
    Config(ConfigError),
    /// The speed is not a number above 0.
    Speed(f64),
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Speed(speed) => write!(f, "speed is {speed}, allowed is more than 0 up to 1000000"),
            Self::Listen(address, error) => {
                write!(f, "cannot listen on {address}: {error}; choose another address")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Speed(_) => None,
            Self::Listen(_, error) => Some(error),
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// A running server. Ends when it is stopped or dropped; what is under way then is cut.
#[derive(Debug)]
pub struct SimServer {
    address: SocketAddr,
    service: Service,
    closing: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl SimServer {
    /// Starts on a free port of 127.0.0.1, in real time.
    ///
    /// # Errors
    /// If the configuration contradicts itself or no port is free.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, ServerOptions::default()).await
    }

    /// Starts as the options say.
    ///
    /// # Errors
    /// If the configuration contradicts itself, the speed is no number above 0, or the address is taken.
    pub async fn start_with(config: Config, options: ServerOptions) -> Result<Self, StartError> {
        if !(options.speed > 0.0 && options.speed <= 1e6) {
            return Err(StartError::Speed(options.speed));
        }
        let clock = SimClock::new(options.start_ms, options.speed);
        let engine = Engine::new(config, options.seed, clock.start_ms())?;
        let refused = |error| StartError::Listen(options.listen, error);
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (closing, closed) = watch::channel(false);
        let service = Service { engine: Arc::new(Mutex::new(engine)), clock, closed };
        let router = routes::router(service.clone()).into_make_service_with_connect_info::<Cutter>();
        let end = service.clone();
        let serving =
            axum::serve(Door(listener), router).with_graceful_shutdown(async move { end.closed().await });
        let task = tokio::spawn(serving.into_future());
        Ok(Self { address, service, closing, task })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end: what `GOOGLE_GEMINI_BASE_URL` takes.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What became of each call so far, oldest first.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.service.engine().attempts().cloned().collect()
    }

    /// What is used of each limit, and how often each fault has struck.
    pub fn state(&self) -> State {
        self.service.engine().state(self.service.clock.now_ms())
    }

    /// Adds a fault behind those that exist.
    ///
    /// # Errors
    /// If a filter names nothing that exists or a number is out of range.
    pub fn add_fault(&self, fault: Fault) -> Result<(), String> {
        self.service.engine().add_fault(fault)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.service.engine().clear_faults();
    }

    /// Empty books, no record, the configured faults.
    pub fn reset(&self) {
        self.service.engine().reset(self.service.clock.now_ms());
    }

    /// Stops listening, cuts what is under way and waits until every connection is closed.
    pub async fn stop(self) {
        let _ = self.closing.send(true); // nobody listens any more if the server has ended by itself
        let _ = self.task.await;
    }
}

/// What every request shares.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    engine: Arc<Mutex<Engine>>,
    pub(crate) clock: SimClock,
    closed: watch::Receiver<bool>,
}

impl Service {
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the server is stopped or dropped.
    async fn closed(&self) {
        let _ = self.closed.clone().wait_for(|closed| *closed).await; // an error: the server was dropped
    }

    /// Waits for so much simulated time; false if the server ends before that.
    pub(crate) async fn wait(&self, simulated: Duration) -> bool {
        tokio::select! {
            () = self.clock.wait(simulated) => true,
            () = self.closed() => false,
        }
    }
}
