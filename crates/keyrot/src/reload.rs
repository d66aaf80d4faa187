//! What runs beside a pool: a look at keys.json and at a shared limiter each second, secrets read before they expire.

use std::fs;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use keyrot_core::{Clock, ConfigError, GuardedLimiter, KeyPool, KeySet, SecretStore};
use tokio::task::{JoinHandle, JoinSet};

use crate::settings::Settings;

/// How often keys.json is looked at. A file has no events that hold on every system and file system; its size and
/// time do.
const LOOK: Duration = Duration::from_secs(1);
/// How often secrets are looked through for those that expire soon.
const REFRESH: Duration = Duration::from_secs(5);
/// How often a shared limiter is looked after: how soon one that was away is used again.
const TEND: Duration = Duration::from_secs(1);

/// What became of changes to keys.json.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStatus {
    /// How often the keys were taken over.
    pub reloads: u64,
    /// Why the file as it is now was not; the keys stayed as they were.
    pub error: Option<ConfigError>,
}

/// The tasks of a pool; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    status: Arc<Mutex<ReloadStatus>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// `stamp` is what the file was when the pool's keys were read; `None` if there is none to watch.
    pub(crate) fn start(
        pool: &KeyPool,
        settings: &Settings,
        secrets: &Arc<dyn SecretStore>,
        stamp: Option<Option<Stamp>>,
        limiter: Option<Arc<GuardedLimiter>>,
        clock: impl Clock + Clone,
    ) -> Self {
        let status = Arc::default();
        let mut tasks = vec![tokio::spawn(refresh(pool.clone(), clock.clone()))];
        tasks.extend(limiter.map(|limiter| tokio::spawn(tend(limiter, clock.clone()))));
        if let Some(stamp) = stamp {
            let watched =
                Watched::new(pool.clone(), settings, Arc::clone(secrets), stamp, Arc::clone(&status));
            tasks.push(tokio::spawn(watch(watched, clock)));
        }
        Self { status, tasks }
    }

    pub(crate) fn reload_status(&self) -> ReloadStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await; // that it was aborted
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn tend(limiter: Arc<GuardedLimiter>, clock: impl Clock) {
    loop {
        limiter.tend().await;
        clock.sleep_until(clock.now() + TEND).await;
    }
}

/// Each look is a task of its own: a store that hangs with one secret holds up no other.
async fn refresh(pool: KeyPool, clock: impl Clock) {
    let mut looks = JoinSet::new();
    loop {
        let looked = pool.clone();
        looks.spawn(async move { looked.refresh_secrets().await });
        let mut time = clock.sleep_until(clock.now() + REFRESH);
        let mut wanted = pin!(pool.secret_wanted());
        poll_fn(|context| match time.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => wanted.as_mut().poll(context),
        })
        .await;
        while looks.try_join_next().is_some() {}
    }
}

async fn watch(mut watched: Watched, clock: impl Clock) {
    loop {
        clock.sleep_until(clock.now() + LOOK).await;
        let pool = watched.pool.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let reloaded = watched.look();
            (watched, reloaded)
        });
        let Ok((back, reloaded)) = looked.await else { return };
        watched = back;
        if reloaded {
            pool.load_secrets().await; // what is missing is logged there
        }
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    /// A save replaces the file: another one under the same name.
    inode: u64,
}

impl Stamp {
    /// `None` if there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&about);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: about.modified().ok(), len: about.len(), inode })
    }
}

/// keys.json and the pool that follows it.
struct Watched {
    pool: KeyPool,
    path: PathBuf,
    secrets: Arc<dyn SecretStore>,
    stamp: Option<Stamp>,
    status: Arc<Mutex<ReloadStatus>>,
}

impl Watched {
    fn new(
        pool: KeyPool,
        settings: &Settings,
        secrets: Arc<dyn SecretStore>,
        stamp: Option<Stamp>,
        status: Arc<Mutex<ReloadStatus>>,
    ) -> Self {
        let path = settings.keys_path().to_owned();
        Self { pool, path, secrets, stamp, status }
    }

    /// Takes the keys over if the file has changed and can be used; true then.
    fn look(&mut self) -> bool {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp; // taken before the file is read: a change in between is seen next time
        let loaded = KeySet::load(&self.path).and_then(|keys| self.secrets.check(&keys).map(|()| keys));
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(keys) => {
                tracing::info!(path = %self.path.display(), keys = keys.len(), "keys were reloaded");
                self.pool.replace_keys(keys);
                status.reloads += 1;
                status.error = None;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the changed file cannot be used; the keys stay as they were");
                status.error = Some(error);
                false
            }
        }
    }
}

#[cfg(feature = "secrets-env")]
#[cfg(test)]
mod tests {
    use keyrot_core::{Blame, Effect, KeyRequest, ManualClock, Outcome, Vars};
    use keyrot_testkit::run_virtual;

    use super::*;

    const TWO: &str = r#"{"keys": [{"key_id": "a", "model_name": "m"}, {"key_id": "b", "model_name": "m"}]}"#;
    const THREE: &str = r#"{"keys": [{"key_id": "a", "model_name": "m"}, {"key_id": "b", "model_name": "m"},
        {"key_id": "c", "model_name": "other"}]}"#;

    struct Bench {
        _folder: tempfile::TempDir,
        path: PathBuf,
        watched: Watched,
        pool: KeyPool,
    }

    fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        fs::write(&path, TWO).unwrap();
        let settings = Settings::from_vars(&Vars::default()).unwrap().rotation(Some(true)).keys_file(&path);
        let secrets = settings.secrets().unwrap();
        let pool = KeyPool::builder(settings.key_set().unwrap())
            .shared_secrets(Arc::clone(&secrets))
            .clock(ManualClock::default())
            .build();
        let watched = Watched::new(pool.clone(), &settings, secrets, Stamp::of(&path), Arc::default());
        Bench { _folder: folder, path, watched, pool }
    }

    impl Bench {
        /// As an editor or a save does it: a new file under the old name.
        fn replace(&self, text: &str) {
            let new = self.path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &self.path).unwrap();
        }

        fn status(&self) -> ReloadStatus {
            self.watched.status.lock().unwrap().clone()
        }
    }

    #[test]
    fn a_changed_file_is_taken_over_once() {
        let mut bench = bench();
        assert!(!bench.watched.look(), "nothing has changed yet");
        bench.replace(THREE);
        assert!(bench.watched.look());
        assert_eq!(bench.pool.keys().len(), 3);
        assert!(!bench.watched.look());
        assert_eq!(bench.status(), ReloadStatus { reloads: 1, error: None });
    }

    #[test]
    fn a_broken_file_changes_nothing_and_is_reported_once() {
        let mut bench = bench();
        for broken in [
            "{ broken",
            r#"{"keys": [{"key_id": "a.1", "model_name": "m"}, {"key_id": "a_1", "model_name": "m"}]}"#,
        ] {
            bench.replace(broken);
            assert!(!bench.watched.look());
            let told = bench.status().error.unwrap();
            assert!(!bench.watched.look());
            assert_eq!(bench.status().error.unwrap(), told);
            assert_eq!(bench.pool.keys().len(), 2);
        }
        fs::remove_file(&bench.path).unwrap();
        assert!(!bench.watched.look());
        assert!(bench.status().error.unwrap().to_string().contains("does not exist"));
        assert_eq!(bench.pool.keys().len(), 2);
        bench.replace(THREE);
        assert!(bench.watched.look());
        assert_eq!(bench.status(), ReloadStatus { reloads: 1, error: None });
    }

    #[tokio::test]
    async fn what_is_known_of_keys_that_remain_is_kept() {
        let vars = Vars::from_iter([("GEMINI_KEY_a", "x"), ("GEMINI_KEY_b", "y"), ("GEMINI_KEY_c", "z")]);
        let mut bench = bench();
        let settings = Settings::from_vars(&vars).unwrap().rotation(Some(true));
        bench.pool =
            KeyPool::builder(KeySet::parse(TWO).unwrap()).shared_secrets(settings.secrets().unwrap()).build();
        bench.watched.pool = bench.pool.clone();
        let lease = bench.pool.acquire(&KeyRequest::any()).await.unwrap().begin().unwrap();
        let rested = lease.key_id().to_string();
        lease.report(Outcome::new(Blame::ProjectModel, Effect::Cooldown, "429")).await;
        bench.replace(THREE);
        assert!(bench.watched.look());
        let health = bench.pool.health();
        assert!(health[&rested].in_cooldown && health[&rested].error_count == 1, "{health:?}");
        assert!(!health["c"].in_cooldown);
    }

    /// Gives a good value at first, hangs once when it is asked again, then gives a new one.
    #[derive(Debug, Default)]
    struct SlowOnce(std::sync::atomic::AtomicUsize);

    #[async_trait::async_trait]
    impl SecretStore for SlowOnce {
        fn locator(&self, key: &keyrot_core::KeyMetadata) -> String {
            format!("slow:{}", key.key_id)
        }

        async fn fetch(
            &self,
            key: &keyrot_core::KeyMetadata,
        ) -> Result<keyrot_core::secrecy::SecretString, keyrot_core::SecretError> {
            match self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                2 => std::future::pending().await,
                read => Ok(format!("{}-{read}", key.key_id).into()),
            }
        }
    }

    #[test]
    fn a_secret_that_no_call_waits_for_is_read_at_once_by_the_task() {
        let clock = ManualClock::default();
        run_virtual(clock.clone(), async {
            let store: Arc<dyn SecretStore> = Arc::new(SlowOnce::default());
            let pool = KeyPool::builder(KeySet::parse(TWO).unwrap()).shared_secrets(Arc::clone(&store));
            let pool = pool.clock(clock.clone()).build();
            assert!(pool.load_secrets().await.is_empty());
            let settings = Settings::from_vars(&Vars::default()).unwrap();
            let background = Background::start(&pool, &settings, &store, None, None, clock.clone());
            let start = clock.now();
            let lease = pool.acquire(&KeyRequest::any()).await.unwrap().begin().unwrap();
            let id = lease.key_id().to_string();
            lease.report(Outcome::new(Blame::Key, Effect::KeyRejected, "refused")).await;
            while pool.health()[&id].secret_changes == 0 {
                assert!(clock.now() - start < Duration::from_secs(1), "nobody reads it");
                clock.sleep_until(clock.now() + Duration::from_millis(10)).await;
            }
            assert!(!pool.health()[&id].in_cooldown);
            background.stop().await;
        });
    }

    #[tokio::test]
    async fn the_task_takes_a_change_over_and_ends_with_the_pool() {
        let clock = ManualClock::default();
        let bench = bench();
        let settings =
            Settings::from_vars(&Vars::default()).unwrap().rotation(Some(true)).keys_file(&bench.path);
        let stamp = Some(Stamp::of(&bench.path));
        let background =
            Background::start(&bench.pool, &settings, &bench.watched.secrets, stamp, None, clock.clone());
        bench.replace(THREE);
        let reloaded = async {
            while background.reload_status().reloads == 0 {
                clock.advance_to_next_sleeper();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reloaded).await.expect("the change is seen");
        background.stop().await;
        assert!(!clock.advance_to_next_sleeper(), "no task waits any more");
    }
}
