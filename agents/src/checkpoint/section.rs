//! A named part of the state of a run: [`Section`].

use std::{borrow::Cow, fs::File, io, os::unix::fs::FileExt, path::PathBuf};

use safetensors::Dtype;
use serde::{Serialize, de::DeserializeOwned};
use tch::{Device, Kind, Tensor};

use crate::{
    error::{Error, Result},
    regular_file,
};

pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Bytes<'a>,
    /// Whether it is written in blocks if it is large: see [`Section::put_rows`].
    pub(super) in_blocks: bool,
}

/// Size of a block, bytes. Each checkpoint writes the new rows and up to one block more, and has a file for every block.
const BLOCK_BYTES: usize = 4 << 20;

impl Entry<'_> {
    /// The blocks of a large tensor of rows, in order: each has as many rows as fit, the last one the rest. Other tensors
    /// have none.
    pub(super) fn blocks(&self) -> Vec<Entry<'_>> {
        let Bytes::Memory(bytes) = &self.bytes else {
            return Vec::new();
        };
        if !self.in_blocks || bytes.len() <= BLOCK_BYTES {
            return Vec::new();
        }
        let row_bytes = bytes.len() / self.shape[0];
        let rows_per_block = (BLOCK_BYTES / row_bytes).max(1);
        let blocks = bytes.chunks(rows_per_block * row_bytes);
        blocks
            .map(|block| Entry {
                name: self.name.clone(),
                dtype: self.dtype,
                shape: [&[block.len() / row_bytes], &self.shape[1..]].concat(),
                bytes: Bytes::Memory(Cow::Borrowed(block)),
                in_blocks: false,
            })
            .collect()
    }
}

/// The elements of a tensor: in memory, or in files, from which they are read straight to where they are needed.
pub(super) enum Bytes<'a> {
    Memory(Cow<'a, [u8]>),
    File {
        file: &'a File,
        offset: u64,
        len: usize,
    },
    /// One after the other. The files are opened when they are read: there may be more of them than a process can hold
    /// open.
    Blocks(Vec<Block>),
}

/// The elements of one block of a tensor, in a file.
pub(super) struct Block {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) len: usize,
}

impl Bytes<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Bytes::Memory(bytes) => bytes.len(),
            Bytes::File { len, .. } => *len,
            Bytes::Blocks(blocks) => blocks.iter().map(|block| block.len).sum(),
        }
    }

    pub(super) fn to_memory(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Bytes::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Bytes::File { .. } | Bytes::Blocks(_) => {
                let mut bytes = vec![0; self.len()];
                self.read_at(0, &mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Copies bytes from a position on to `out`, which they fill.
    fn read_at(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        match self {
            Bytes::Memory(bytes) => {
                out.copy_from_slice(&bytes[at..at + out.len()]);
                Ok(())
            }
            Bytes::File { file, offset, .. } => file.read_exact_at(out, *offset + at as u64),
            Bytes::Blocks(blocks) => {
                let (mut skip, mut out) = (at, out);
                for block in blocks {
                    let within = skip.min(block.len);
                    let (now, rest) = out.split_at_mut(out.len().min(block.len - within));
                    if !now.is_empty() {
                        regular_file::open(&block.path)?.read_exact_at(now, block.offset + within as u64)?;
                    }
                    (skip, out) = (skip - within, rest);
                }
                match out.is_empty() {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }
}

/// A named part of the state of a run: tensors by name, and a JSON value for everything else.
///
/// Borrowed data (`'a`) is written without a copy, which matters for a large replay.
pub struct Section<'a> {
    pub(super) name: String,
    pub(super) tensors: Vec<Entry<'a>>,
    pub(super) state: serde_json::Value,
}

/// Element types of tensors in a checkpoint, stored as little-endian.
pub trait Number: Copy + 'static {
    /// The type in safetensors.
    const DTYPE: Dtype;
}

impl Number for f32 {
    const DTYPE: Dtype = Dtype::F32;
}
impl Number for f64 {
    const DTYPE: Dtype = Dtype::F64;
}
impl Number for u8 {
    const DTYPE: Dtype = Dtype::U8;
}
impl Number for u32 {
    const DTYPE: Dtype = Dtype::U32;
}
impl Number for i64 {
    const DTYPE: Dtype = Dtype::I64;
}

fn as_bytes<T: Number>(values: &[T]) -> &[u8] {
    // SAFETY: `Number` is implemented for primitive numbers only, which have no padding; every byte is a valid u8.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

impl<'a> Section<'a> {
    /// An empty section.
    pub fn new(name: impl Into<String>) -> Self {
        Section {
            name: name.into(),
            tensors: Vec::new(),
            state: serde_json::Value::Null,
        }
    }

    /// The section's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a tensor of borrowed rows, `shape[0]` of them, of which few change from one checkpoint to the next. If they
    /// are many, they are written in blocks, each in a file of its own, which is shared with the previous checkpoint if
    /// that has the same block.
    pub fn put_rows<T: Number>(&mut self, name: impl Into<String>, shape: &[usize], values: &'a [T]) {
        self.put_slice(name, shape, values);
        if let Some(entry) = self.tensors.last_mut() {
            entry.in_blocks = true;
        }
    }

    /// Adds a tensor of borrowed numbers. The product of `shape` is their count.
    pub fn put_slice<T: Number>(&mut self, name: impl Into<String>, shape: &[usize], values: &'a [T]) {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "the shape fits the values"
        );
        let bytes = Bytes::Memory(Cow::Borrowed(as_bytes(values)));
        self.put(name.into(), T::DTYPE, shape.to_vec(), bytes);
    }

    /// Adds a copy of a tensor of `f32` or `i64`.
    pub fn put_tensor(&mut self, name: impl Into<String>, tensor: &Tensor) {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Int64 => Dtype::I64,
            kind => unreachable!("state is kept in f32 or i64, not {kind:?}"),
        };
        let tensor = tensor.to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        let shape = tensor.size().iter().map(|extent| *extent as usize).collect();
        self.put(name.into(), dtype, shape, Bytes::Memory(Cow::Owned(bytes)));
    }

    fn put(&mut self, name: String, dtype: Dtype, shape: Vec<usize>, bytes: Bytes<'a>) {
        assert!(
            self.tensors.iter().all(|entry| entry.name != name),
            "one tensor per name: {name}"
        );
        self.tensors.push(Entry {
            name,
            dtype,
            shape,
            bytes,
            in_blocks: false,
        });
    }

    /// Adds the block with this number of a tensor; the ones before it are there already. The error is a phrase that
    /// describes the problem.
    pub(super) fn add_block(
        &mut self,
        tensor: &str,
        number: usize,
        block: Entry<'a>,
    ) -> std::result::Result<(), String> {
        let before = self.tensors.iter_mut().find(|entry| entry.name == tensor);
        if block.name != tensor || block.shape.is_empty() {
            return Err(format!("the file does not hold a block of tensor `{tensor}`"));
        }
        match (before, block.bytes) {
            (None, _) if number > 0 => Err(format!("block {} of tensor `{tensor}` is missing", number - 1)),
            (None, bytes) => {
                self.tensors.push(Entry { bytes, ..block });
                Ok(())
            }
            (
                Some(Entry {
                    dtype,
                    shape,
                    bytes: Bytes::Blocks(blocks),
                    ..
                }),
                Bytes::Blocks(more),
            ) if blocks.len() == number && *dtype == block.dtype && shape[1..] == block.shape[1..] => {
                let rows = shape[0].checked_add(block.shape[0]);
                shape[0] = rows.ok_or("too many rows")?;
                blocks.extend(more);
                Ok(())
            }
            (Some(_), _) => Err(format!("the block does not fit those of tensor `{tensor}` before it")),
        }
    }

    /// The same section in memory, with those tensors of `other` for whose names `which` holds in the place of its own.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn with_tensors_of(self, other: Section<'static>, which: impl Fn(&str) -> bool) -> Result<Section<'static>> {
        let mut section = Section::new(self.name.as_str());
        section
            .tensors
            .extend(other.tensors.into_iter().filter(|entry| which(&entry.name)));
        for entry in self.tensors.iter().filter(|entry| !which(&entry.name)) {
            let bytes = entry.bytes.to_memory();
            let bytes = bytes.map_err(|error| self.unread(&entry.name, &error))?.into_owned();
            section.put(
                entry.name.clone(),
                entry.dtype,
                entry.shape.clone(),
                Bytes::Memory(Cow::Owned(bytes)),
            );
        }
        section.state = self.state;
        Ok(section)
    }

    /// Sets the JSON value.
    ///
    /// # Errors
    /// When `state` cannot be serialised.
    pub fn set_state(&mut self, state: &impl Serialize) -> Result<()> {
        self.state = serde_json::to_value(state).map_err(|error| Error::section(&self.name, error.to_string()))?;
        Ok(())
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty() && self.state.is_null()
    }

    /// Deserialises the JSON value.
    ///
    /// # Errors
    /// When it does not have the type `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.state).map_err(|error| Error::section(&self.name, error.to_string()))
    }

    fn entry(&self, name: &str, dtype: Dtype) -> Result<&Entry<'a>> {
        let entry = self.tensors.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| Error::section(&self.name, format!("tensor `{name}` is missing")))?;
        if entry.dtype != dtype {
            let problem = format!("tensor `{name}` holds {:?}, expected {dtype:?}", entry.dtype);
            return Err(Error::section(&self.name, problem));
        }
        Ok(entry)
    }

    /// The tensor `name` on the CPU, of `f32` or `i64`. It must have the shape `shape`.
    ///
    /// # Errors
    /// When the tensor is missing, or has another shape or type.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let stored = self
            .tensors
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.dtype);
        let (dtype, kind) = match stored {
            Some(Dtype::I64) => (Dtype::I64, Kind::Int64),
            _ => (Dtype::F32, Kind::Float),
        };
        let entry = self.entry(name, dtype)?;
        if !entry
            .shape
            .iter()
            .map(|extent| *extent as i64)
            .eq(shape.iter().copied())
        {
            let problem = format!("tensor `{name}` has shape {:?}, expected {shape:?}", entry.shape);
            return Err(Error::section(&self.name, problem));
        }
        let bytes = entry.bytes.to_memory().map_err(|error| self.unread(name, &error))?;
        Ok(Tensor::f_from_data_size(&bytes, shape, kind)?)
    }

    /// Refuses a section, read from a checkpoint, whose tensors are not exactly those of this one: by name, type and shape.
    ///
    /// # Errors
    /// The first difference.
    pub fn check_tensors_of(&self, read: &Section) -> Result<()> {
        let differs = |problem: String| Err(Error::section(&self.name, problem));
        for entry in &read.tensors {
            let own = self.tensors.iter().find(|own| own.name == entry.name);
            match own {
                None => return differs(format!("tensor `{}` does not belong there", entry.name)),
                Some(own) if (own.dtype, &own.shape) != (entry.dtype, &entry.shape) => {
                    return differs(format!(
                        "tensor `{}` is {:?} {:?}, expected {:?} {:?}",
                        entry.name, entry.dtype, entry.shape, own.dtype, own.shape
                    ));
                }
                Some(_) => {}
            }
        }
        let missing = self
            .tensors
            .iter()
            .find(|own| read.tensors.iter().all(|entry| entry.name != own.name));
        match missing {
            Some(own) => differs(format!("tensor `{}` is missing", own.name)),
            None => Ok(()),
        }
    }

    /// Refuses a section with NaN in a tensor of `f32`, which no program writes.
    ///
    /// # Errors
    /// The first tensor with one.
    pub fn check_no_nan(&self) -> Result<()> {
        for entry in self.tensors.iter().filter(|entry| entry.dtype == Dtype::F32) {
            let bytes = entry.bytes.to_memory();
            let bytes = bytes.map_err(|error| self.unread(&entry.name, &error))?;
            let mut numbers = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            if numbers.any(f32::is_nan) {
                return Err(self.holds_nan(&entry.name));
            }
        }
        Ok(())
    }

    /// NaN in the tensor `name`.
    pub fn holds_nan(&self, name: &str) -> Error {
        Error::section(&self.name, format!("tensor `{name}` holds NaN"))
    }

    /// Refuses a section, read from a checkpoint, whose JSON value is not that of this one.
    ///
    /// # Errors
    /// When they differ.
    pub fn check_state_of(&self, read: &Section) -> Result<()> {
        match self.state == read.state {
            true => Ok(()),
            false => Err(Error::section(
                &self.name,
                "holds a state that this program would not have written",
            )),
        }
    }

    /// Names of all tensors.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|entry| entry.name.as_str())
    }

    /// The tensor `name` on the CPU, of any shape.
    ///
    /// # Errors
    /// When the tensor is missing, or is neither `f32` nor `i64`.
    pub fn any_tensor(&self, name: &str) -> Result<Tensor> {
        let entry = self.tensors.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| Error::section(&self.name, format!("tensor `{name}` is missing")))?;
        let shape: Vec<i64> = entry.shape.iter().map(|extent| *extent as i64).collect();
        self.tensor(name, &shape)
    }

    /// Copies the elements of the tensor `name` to the beginning of `out`, and returns their number.
    ///
    /// # Errors
    /// When the tensor is missing, of another type, or longer than `out`.
    pub fn copy_to<T: Number>(&self, name: &str, out: &mut [T]) -> Result<usize> {
        let entry = self.entry(name, T::DTYPE)?;
        let count = entry.bytes.len() / size_of::<T>();
        if count > out.len() {
            let problem = format!("tensor `{name}` has {count} numbers, at most {} fit", out.len());
            return Err(Error::section(&self.name, problem));
        }
        let out = &mut out[..count];
        // SAFETY: `Number` is implemented for primitive numbers only, which have no padding and for which all bit
        // patterns are valid.
        let bytes = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), size_of_val(out)) };
        entry
            .bytes
            .read_at(0, bytes)
            .map_err(|error| self.unread(name, &error))?;
        Ok(count)
    }

    fn unread(&self, name: &str, error: &io::Error) -> Error {
        Error::section(&self.name, format!("tensor `{name}` cannot be read: {error}"))
    }
}
