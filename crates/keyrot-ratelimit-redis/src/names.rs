//! What the keys of a pool are called in Redis. docs/redis-protocol.md lists them.

use keyrot_core::Group;

/// All keys of a pool hold one hash tag, so that a cluster keeps them on one node and one script can
/// use any of them.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    base: String,
}

impl Names {
    pub(crate) fn new(prefix: &str, pool: &str) -> Self {
        // a brace in the name would end the hash tag early
        let pool = pool.replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
        Self { base: format!("{prefix}{{{pool}}}:") }
    }

    pub(crate) fn pool(&self) -> String {
        self.named("pool")
    }

    pub(crate) fn blocks(&self) -> String {
        self.named("blocks")
    }

    pub(crate) fn changes(&self) -> String {
        self.named("changes")
    }

    pub(crate) fn counters(&self) -> String {
        self.named("counters")
    }

    pub(crate) fn processes(&self) -> String {
        self.named("processes")
    }

    pub(crate) fn issuer(&self, epoch: u64) -> String {
        self.named(&format!("issuer:{epoch:016x}"))
    }

    pub(crate) fn quota(&self, group: &Group) -> String {
        self.named(&format!("quota:{}", group.name()))
    }

    fn named(&self, what: &str) -> String {
        format!("{}{what}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_one_hash_tag_whatever_its_name() {
        let group = Group { project: "{p}".into(), model: "m".into() };
        assert_eq!(Names::new("keyrot:1:", "main").quota(&group), "keyrot:1:{main}:quota:{p}/m");
        assert_eq!(Names::new("keyrot:1:", "a}b{%").pool(), "keyrot:1:{a%7Db%7B%25}:pool");
        assert_ne!(Names::new("k:", "a}").pool(), Names::new("k:", "a%7D").pool());
    }
}
