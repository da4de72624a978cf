#[aggregate(domain = "by-default")]
pub struct ByDefault {}

#[aggregate(domain = "with-serde", snapshot(codec = Serde))]
pub struct WithSerde {}
