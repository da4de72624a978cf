/// V1 had one `name`; V2 has `first_name` and `last_name`.
#[upcaster(from = 1)]
fn split_name(old: OwnerRegisteredV1) -> OwnerRegistered {
    split(old)
}

#[upcaster(from = 2, event = "bank.OwnerRegistered")]
fn split_event(old: OwnerRegisteredV2) -> Option<(Registered, Vec<Named>)> {
    None
}
