//! x
#![allow(unused)]
use keyrot_core::*;
fn need_send<T: Send>(t: T) {}
async fn http(secret: &secrecy::SecretString, n: &String) -> Result<((), Usage), Outcome> { tokio::task::yield_now().await; Ok(((), Usage::default())) }
#[derive(Clone)] struct W { pool: KeyPool, s: String }
impl W {
  async fn a(&self, r: &KeyRequest) { self.pool.run(r, async |l| http(l.secret(), &self.s).await).await; }
  async fn b(self, r: KeyRequest) { let s = self.s.clone(); self.pool.run(&r, async move |l| http(l.secret(), &s).await).await; }
  async fn c(self, r: KeyRequest) { self.pool.run(&r, async |l| Ok::<_,Outcome>(((), Usage::default()))).await; }
}
fn main() {
  let w: W = todo!();
  let r = KeyRequest::any();
  need_send(w.clone().c(r.clone()));
  need_send(w.clone().b(r.clone()));
  let (w2, r2) = (w.clone(), r.clone());
  need_send(async move { w2.a(&r2).await });
}
