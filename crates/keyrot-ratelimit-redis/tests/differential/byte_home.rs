//! Core's rules on records that are kept as bytes: what a store holds that follows them to the letter.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyrot_core::books::{Home, IssuerRecord};
use keyrot_core::{
    CounterRecord, Group, KeyId, LimiterError, Millis, QuotaRecord, Scope, ScopeChange, ScopeRecord, Tally,
};

#[derive(Default)]
pub(crate) struct ByteHome {
    pub(crate) quotas: BTreeMap<String, Vec<u8>>,
    pub(crate) counters: BTreeMap<String, Vec<u8>>,
    pub(crate) issuers: BTreeMap<u64, IssuerRecord>,
    scopes: BTreeMap<String, (u64, ScopeRecord)>,
    generation: u64,
    reservations: u64,
}

impl ByteHome {
    pub(crate) fn scope_bytes(&self) -> BTreeMap<String, Vec<u8>> {
        self.scopes.iter().map(|(name, (_, record))| (name.clone(), record.to_bytes())).collect()
    }

    /// Leaves records as they were `before` a batch if the whole of it is no news, as a script does, which writes once:
    /// a request given back and then recalled is written by neither.
    pub(crate) fn write_once(&mut self, before: &BTreeMap<String, Vec<u8>>) -> Result<(), LimiterError> {
        for (name, bytes) in &mut self.quotas {
            if let Some(old) = before.get(name)
                && !QuotaRecord::from_bytes(bytes)?.is_news(&QuotaRecord::from_bytes(old)?)
            {
                bytes.clone_from(old);
            }
        }
        Ok(())
    }
}

impl Home for ByteHome {
    fn quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<R, LimiterError> {
        let name = group.name();
        let before =
            self.quotas.get(&name).map_or(Ok(QuotaRecord::default()), |it| QuotaRecord::from_bytes(it))?;
        let mut record = before.clone();
        let result = edit(&mut record);
        if record.is_news(&before) {
            self.quotas.insert(name, record.to_bytes());
        }
        Ok(result)
    }

    fn known_quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<Option<R>, LimiterError> {
        if self.quotas.contains_key(&group.name()) { self.quota(group, edit).map(Some) } else { Ok(None) }
    }

    fn scope(&mut self, scope: &Scope) -> Result<Option<ScopeRecord>, LimiterError> {
        Ok(self.scopes.get(&scope.name()).map(|(_, record)| *record))
    }

    fn put_scope(
        &mut self,
        scope: &Scope,
        record: ScopeRecord,
        generation: u64,
        now: Millis,
    ) -> Result<(), LimiterError> {
        self.generation = generation;
        self.scopes.insert(scope.name(), (generation, record));
        self.scopes.retain(|_, (generation, _)| *generation + keyrot_core::books::SCOPE_KEPT_FOR > now);
        Ok(())
    }

    fn generation(&mut self) -> Result<u64, LimiterError> {
        Ok(self.generation)
    }

    fn changed_since(&mut self, seen: u64) -> Result<Vec<ScopeChange>, LimiterError> {
        let mut changed: Vec<_> =
            self.scopes.iter().filter(|(_, (generation, _))| *generation > seen).collect();
        changed.sort_by_key(|(_, (generation, _))| *generation);
        let change = |(name, (_, record)): (&String, &(u64, ScopeRecord))| {
            Ok(ScopeChange { scope: name.parse()?, record: *record })
        };
        changed.into_iter().map(change).collect()
    }

    fn is_new(&mut self, epoch: u64, number: u64, now: Millis) -> Result<bool, LimiterError> {
        let issuer = self.issuers.entry(epoch).or_default();
        issuer.heard_at = now;
        Ok(issuer.is_new(number))
    }

    fn count(&mut self, tally: &Tally, _now: Millis) -> Result<(), LimiterError> {
        let mut record = self.counted(&tally.key)?;
        record.add(tally);
        self.counters.insert(tally.key.as_str().to_owned(), record.to_bytes());
        Ok(())
    }

    fn counted(&mut self, key: &KeyId) -> Result<CounterRecord, LimiterError> {
        self.counters
            .get(key.as_str())
            .map_or(Ok(CounterRecord::default()), |it| CounterRecord::from_bytes(it))
    }

    fn next_reservation(&mut self) -> u64 {
        self.reservations += 1;
        self.reservations
    }
}
