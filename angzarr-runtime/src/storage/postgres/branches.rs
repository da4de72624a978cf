//! What is stored one after the other: merges, dead letters, answers, discards, keys that are forgotten.
//!
//! In: one write that was decided, in its transaction. Out: all of its rows, stored and not committed. Never: a position or a
//! number of a stream that is given twice.

use tokio_postgres::Error;

use super::super::{Dedup, Write};
use super::answers::Columns;
use super::plan::{Known, Plan};
use super::statements::{MergedKeys, Session};

/// Answers the version after it.
pub(super) async fn store<'w>(
    session: &Session,
    plan: &mut Plan<'w, '_>,
    writes: &'w [Write],
    known: i64,
) -> Result<i64, Error> {
    // The streams that a merge makes are in the rows as well.
    let (mut branches, mut mains, mut keys) = (Vec::new(), Vec::new(), MergedKeys::default());
    let mut moved = Vec::new();
    for merge in extras(writes).flat_map(|it| &it.merges) {
        let Some(branch) = plan.known(&merge.branch) else { continue };
        let main_key = merge.branch.on_main();
        let main = plan.merge_target(&merge.branch);
        branches.push(branch.id);
        mains.push(main.id);
        for (Dedup(key), Dedup(on_main)) in &merge.dedup {
            keys.branch.push(branch.id);
            keys.key.push(key);
            keys.main.push(main.id);
            keys.on_main.push(on_main);
        }
        let mut head = main.head;
        head.next_sequence = merge.next_sequence;
        head.has_events = true;
        moved.push((main_key, Known { head, ..main }));
    }
    let version = session.store(plan, known).await?;
    if !branches.is_empty() {
        let count = session.merge_events(plan.position(), &branches, &mains).await?;
        plan.take_positions(count);
        session.merge_dedup(&keys).await?;
        moved.into_iter().for_each(|(key, known)| plan.moved(&key, known));
    }
    for letter in extras(writes).flat_map(|it| &it.dead_letters) {
        session.add_letter(letter).await?;
    }
    let answers = Columns::of(extras(writes).flat_map(|it| &it.answers));
    if !answers.is_empty() {
        session.tell(&answers).await?;
    }
    for discard in extras(writes).flat_map(|it| &it.discards) {
        session.discard(discard, plan.newest()).await?;
    }
    for (key, dedup) in extras(writes).flat_map(|it| &it.forgets) {
        session.forget(key, dedup).await?;
    }
    Ok(version)
}

fn extras(writes: &[Write]) -> impl Iterator<Item = &super::super::Extras> {
    writes.iter().filter_map(|it| it.extras.as_deref())
}
