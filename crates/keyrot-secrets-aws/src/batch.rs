//! Many secrets in few calls.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use aws_sdk_secretsmanager::operation::batch_get_secret_value::BatchGetSecretValueOutput;
use futures_util::stream::{self, StreamExt};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{KeyMetadata, SecretError, SecretErrorKind, SecretStore};

use crate::store::{AwsStore, READ};
use crate::trouble::Trouble;
use crate::value::{Flaw, key_in};
use crate::words::Asked;

/// Names in one call.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html>, `SecretIdList`.
const IN_ONE_CALL: usize = 20;

/// Calls at the same time.
const AT_A_TIME: usize = 8;

/// What a call says of one secret.
enum Answer {
    Value(Result<SecretString, Flaw>),
    Trouble(Trouble),
}

impl AwsStore {
    /// By [`IN_ONE_CALL`]. What a call says nothing about is read alone: all of its secrets if the call itself is not
    /// allowed, for it wants a permission of its own. After a question that was not answered in time no further one is
    /// begun: a server that hangs is told after the time of one read, however many keys there are.
    pub(crate) async fn fetch_in_batches(
        &self,
        keys: &[KeyMetadata],
    ) -> Vec<Result<SecretString, SecretError>> {
        let ids: BTreeSet<String> =
            keys.iter().filter_map(|key| self.named(key).ok()).map(|(id, _)| id).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let unanswered = OnceLock::new();
        // Loops, not closures: the compiler cannot tell that closures over references make futures that are `Send`.
        let mut calls = Vec::new();
        if ids.len() > 1 {
            for ids in ids.chunks(IN_ONE_CALL) {
                calls.push(self.ask_for(ids, &unanswered));
            }
        }
        let answers: Vec<_> = stream::iter(calls).buffer_unordered(AT_A_TIME).collect().await;
        let answers: HashMap<String, Answer> = answers.into_iter().flatten().collect();
        let mut of_each = Vec::new();
        for key in keys {
            of_each.push(self.answer_or_fetch(key, &answers, &unanswered));
        }
        stream::iter(of_each).buffered(AT_A_TIME).collect().await
    }

    async fn answer_or_fetch(
        &self,
        key: &KeyMetadata,
        answers: &HashMap<String, Answer>,
        unanswered: &OnceLock<Trouble>,
    ) -> Result<SecretString, SecretError> {
        let (id, locator) = self.named(key)?;
        let asked = Asked { key_id: &key.key_id, id: &id, locator: &locator, action: READ };
        match answers.get(&id) {
            Some(Answer::Value(Ok(secret))) => Ok(secret.clone()),
            Some(Answer::Value(Err(flaw))) => Err(asked.flawed(&self.place(), flaw)),
            Some(Answer::Trouble(trouble)) => Err(asked.failed(&self.place(), trouble)),
            None => {
                if let Some(trouble) = unanswered.get() {
                    return Err(asked.failed(&self.place(), trouble));
                }
                let fetched = self.fetch(key).await;
                if fetched.as_ref().is_err_and(|error| error.kind() == SecretErrorKind::TimedOut) {
                    let _ = unanswered.set(Trouble::TimedOut(self.timeouts.total));
                }
                fetched
            }
        }
    }

    async fn ask_for(&self, ids: &[String], unanswered: &OnceLock<Trouble>) -> Vec<(String, Answer)> {
        let all =
            |trouble: &Trouble| ids.iter().map(|id| (id.clone(), Answer::Trouble(trouble.clone()))).collect();
        if let Some(trouble) = unanswered.get() {
            return all(trouble);
        }
        let call = async {
            let session = self.session().await?;
            let call = session.client.batch_get_secret_value().set_secret_id_list(Some(ids.to_vec()));
            call.send().await.map_err(|error| self.trouble(&session, &error))
        };
        match self.in_time(call).await {
            Ok(output) => ids.iter().filter_map(|id| Some((id.clone(), self.answer(id, &output)?))).collect(),
            Err(trouble) if is_about_the_call(&trouble) => Vec::new(),
            Err(trouble) => {
                if trouble.kind() == SecretErrorKind::TimedOut {
                    let _ = unanswered.set(trouble.clone());
                }
                all(&trouble)
            }
        }
    }

    fn answer(&self, id: &str, output: &BatchGetSecretValueOutput) -> Option<Answer> {
        let is_it = |name: Option<&str>| name == Some(id);
        if let Some(found) =
            output.secret_values().iter().find(|value| is_it(value.name()) || is_it(value.arn()))
        {
            let bytes = found.secret_binary().map(AsRef::as_ref);
            return Some(Answer::Value(key_in(found.secret_string(), bytes, self.config.field.as_deref())));
        }
        let error = output.errors().iter().find(|error| is_it(error.secret_id()))?;
        Some(Answer::Trouble(Trouble::answered(error.error_code())))
    }
}

/// True if the call may be refused where single reads are not.
fn is_about_the_call(trouble: &Trouble) -> bool {
    matches!(
        trouble.kind(),
        SecretErrorKind::Denied
            | SecretErrorKind::Disabled
            | SecretErrorKind::BadName
            | SecretErrorKind::NotFound
    )
}
