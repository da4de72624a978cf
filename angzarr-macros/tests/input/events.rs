#[derive(Events)]
pub enum Outcome {
    Opened(AccountOpened),
    Refused { event: Box<pb::OpeningRefused> },
}
