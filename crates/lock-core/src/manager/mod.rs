//! stub
/// x
#[derive(Clone,Debug,PartialEq,Eq)] pub enum LossReason { /// x
 Ended(crate::End) }
impl std::fmt::Display for LossReason { fn fmt(&self, f:&mut std::fmt::Formatter<'_>)->std::fmt::Result{ f.write_str("x") } }
