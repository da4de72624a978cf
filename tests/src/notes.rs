//! States that are no protobuf messages: one that serde stores, one that is never stored.

use angzarr_runtime::prelude::*;

use crate::messages::*;

#[aggregate(domain = "diary", snapshot(every = 3, codec = Serde))]
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Diary {
    pub pages: Vec<String>,
}

#[aggregate]
impl Diary {
    #[handler]
    fn write(&self, cmd: Write) -> Result<Written, Rejection> {
        Ok(Written { text: cmd.text })
    }
    #[apply]
    fn written(&mut self, e: Written) {
        self.pages.push(e.text);
    }
}

#[aggregate(domain = "scratch", snapshot(off))]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scratch {
    pub pages: Vec<String>,
}

#[aggregate]
impl Scratch {
    #[handler]
    fn write(&self, cmd: Write) -> Result<Written, Rejection> {
        Ok(Written { text: cmd.text })
    }
    #[apply]
    fn written(&mut self, e: Written) {
        self.pages.push(e.text);
    }
}
