//! A TX2 without a TX2: drives the real policy and the real budget over a simulated board, and says
//! how they fare against an oracle that knows the board and against simpler ways.
//! docs/background/simulate.md has the model, its sources and the format of scenarios.
//!
//! Pure but for [`tree`], which writes a board's readings into files as sysfs has them. A
//! [`scenario`] says what happens; [`frames`] says what the camera sees and who is right; [`plant`]
//! is the board; [`run`] lets a [`steer::Steer`] drive it, which leaves a [`course`]; [`score`]
//! judges, [`table`] and [`plot`] show.

pub mod course;
pub mod engines;
pub mod frames;
pub mod oracle;
pub mod plant;
pub mod plot;
pub mod rivals;
pub mod run;
pub mod scenario;
pub mod score;
pub mod squint;
pub mod steer;
pub mod table;
pub mod tegrastats;
pub mod tree;
pub mod versus;
