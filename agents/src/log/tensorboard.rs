//! TensorBoard event files: [`TensorBoard`].
//!
//! Records, checksums and messages come from the crates tensorboard-rs and tensorboard-proto. We do not use the
//! `SummaryWriter` of tensorboard-rs: its background thread panics when the disk is full, and it supports neither text,
//! nor hyper-parameters, nor resumed runs.

use std::{
    io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use protobuf::{Message, RepeatedField, well_known_types::Value};
use sac_envs::render::Frame;
use tensorboard_proto::{
    api::Status,
    event::{Event, SessionLog, SessionLog_SessionStatus},
    plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo},
    summary::{Summary, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData},
    tensor::TensorProto,
    tensor_shape::{TensorShapeProto, TensorShapeProto_Dim},
    types::DataType,
};
use tensorboard_rs::{record_writer::RecordWriter, summary::scalar};

use super::{Row, Sink, append::AppendFile};
use crate::schedule::EnvSteps;

/// A sink that writes scalars and images by env step, the configuration as text, and hyper-parameters for the HPARAMS
/// tab.
pub struct TensorBoard {
    file: AppendFile,
}

/// Prefix of the names of event files, followed by the seconds since 1970.
const EVENTS: &str = "events.out.tfevents.";

/// The code of the RGB colour space in an image summary.
const RGB: i32 = 3;

fn now_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

impl TensorBoard {
    /// Creates an event file in `folder`. With `purge_from`, TensorBoard discards the points of earlier files from that
    /// step on, because the run was resumed there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(folder: &Path, purge_from: Option<EnvSteps>) -> io::Result<Self> {
        // TensorBoard reads the files of a folder in the order of their names. Each name must have a later second than
        // the earlier files, even if a run is resumed within a second or the clock was set back.
        let earlier = std::fs::read_dir(folder)?.flatten().filter_map(|entry| {
            let name = entry.file_name();
            let seconds = name.to_str()?.strip_prefix(EVENTS)?.split('.').next()?;
            seconds.parse::<u64>().ok()
        });
        let seconds = earlier.max().map_or(0, |newest| newest + 1).max(now_s() as u64);
        let path = folder.join(format!("{EVENTS}{seconds:010}.sac.{}", std::process::id()));
        let mut board = TensorBoard {
            file: AppendFile::open(&path)?,
        };
        let mut version = Event::new();
        version.set_file_version("brain.Event:2".to_string());
        board.write(version, EnvSteps(0))?;
        if let Some(from) = purge_from {
            let mut log = SessionLog::new();
            log.set_status(SessionLog_SessionStatus::START);
            let mut event = Event::new();
            event.set_session_log(log);
            board.write(event, from)?;
        }
        Ok(board)
    }

    fn write(&mut self, mut event: Event, step: EnvSteps) -> io::Result<()> {
        event.set_wall_time(now_s());
        event.set_step(step.0 as i64);
        let message = event.write_to_bytes().map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(message.len() + 16);
        RecordWriter::new(&mut record).write(&message)?;
        self.file.append(&record)
    }

    fn summary(&mut self, summary: Summary, step: EnvSteps) -> io::Result<()> {
        let mut event = Event::new();
        event.set_summary(summary);
        self.write(event, step)
    }

    /// Writes a Markdown text for the TEXT tab.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub fn text(&mut self, tag: &str, markdown: &str) -> io::Result<()> {
        let mut extent = TensorShapeProto_Dim::new();
        extent.set_size(1);
        let mut shape = TensorShapeProto::new();
        shape.set_dim(RepeatedField::from_vec(vec![extent]));
        let mut tensor = TensorProto::new();
        tensor.set_dtype(DataType::DT_STRING);
        tensor.set_tensor_shape(shape);
        tensor.set_string_val(RepeatedField::from_vec(vec![markdown.as_bytes().to_vec()]));
        let mut value = tagged(tag, "text", Vec::new());
        value.set_tensor(tensor);
        self.summary(one(value), EnvSteps(0))
    }

    /// Writes the run's hyper-parameters by dotted key.
    ///
    /// The run has no group, so that the HPARAMS tab gives it a row of its own: TensorBoard shows the runs of a group as
    /// one row, with the hyper-parameters of the first.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn hparams(&mut self, hparams: &[(String, Hparam)]) -> io::Result<()> {
        let mut start = SessionStartInfo::new();
        start.set_start_time_secs(now_s());
        for (key, hparam) in hparams {
            let mut value = Value::new();
            match hparam {
                Hparam::Number(number) => value.set_number_value(*number),
                Hparam::Bool(flag) => value.set_bool_value(*flag),
                Hparam::Text(text) => value.set_string_value(text.clone()),
            }
            start.mut_hparams().insert(key.clone(), value);
        }
        let mut data = HParamsPluginData::new();
        data.set_session_start_info(start);
        self.plugin("_hparams_/session_start_info", &data)
    }

    fn plugin(&mut self, tag: &str, data: &HParamsPluginData) -> io::Result<()> {
        let content = data.write_to_bytes().map_err(io::Error::other)?;
        self.summary(one(tagged(tag, "hparams", content)), EnvSteps(0))
    }
}

/// The value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Hparam {
    /// A number.
    Number(f64),
    /// A Boolean.
    Bool(bool),
    /// A string, or any other value formatted as text.
    Text(String),
}

fn tagged(tag: &str, plugin: &str, content: Vec<u8>) -> Summary_Value {
    let mut data = SummaryMetadata_PluginData::new();
    data.set_plugin_name(plugin.to_string());
    data.set_content(content);
    let mut metadata = SummaryMetadata::new();
    metadata.set_plugin_data(data);
    let mut value = Summary_Value::new();
    value.set_tag(tag.to_string());
    value.set_metadata(metadata);
    value
}

fn one(value: Summary_Value) -> Summary {
    let mut summary = Summary::new();
    summary.set_value(RepeatedField::from_vec(vec![value]));
    summary
}

impl Sink for TensorBoard {
    fn name(&self) -> &'static str {
        "TensorBoard events"
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        row.values
            .iter()
            .try_for_each(|(name, value)| self.summary(scalar(name, *value as f32), row.env_steps))
    }

    /// Writes the image as a PNG within an event.
    fn image(&mut self, env_steps: EnvSteps, name: &str, image: &Frame) -> io::Result<()> {
        let mut png = Vec::new();
        image.write_png(&mut png)?;
        let extent = |pixels: u32| i32::try_from(pixels).map_err(io::Error::other);
        let mut picture = Summary_Image::new();
        picture.set_width(extent(image.size.width)?);
        picture.set_height(extent(image.size.height)?);
        picture.set_colorspace(RGB);
        picture.set_encoded_image_string(png);
        let mut value = Summary_Value::new();
        value.set_tag(name.to_string());
        value.set_image(picture);
        self.summary(one(value), env_steps)
    }

    /// Marks the run as finished in the HPARAMS tab.
    fn finished(&mut self) -> io::Result<()> {
        let mut end = SessionEndInfo::new();
        end.set_status(Status::STATUS_SUCCESS);
        end.set_end_time_secs(now_s());
        let mut data = HParamsPluginData::new();
        data.set_session_end_info(end);
        self.plugin("_hparams_/session_end_info", &data)
    }
}
