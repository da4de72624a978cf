/// The stock, which another process keeps.
#[aggregate(domain = "inventory", remote, handles(ReserveStock, pb::ReleaseStock))]
pub struct Inventory;
