//! Several pictures as an animation ([`GifWriter`], [`Mp4Writer`]) or on one sheet ([`contact_sheet`]).

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::{Colour, Frame, FrameSize};

/// Writer of an animated GIF that repeats for ever. It writes frame by frame, so that an episode need not fit into
/// memory.
pub struct GifWriter<W: Write> {
    encoder: gif::Encoder<W>,
    size: FrameSize,
    delay_cs: u16,
}

impl<W: Write> GifWriter<W> {
    /// Starts an animation of pictures of one size. `frames_per_s` is at most 50: the format counts hundredths of a
    /// second, and players do not accept a delay of less than two.
    ///
    /// # Errors
    /// When writing to `out` fails, or a side is longer than the format's maximum of 65535.
    pub fn new(out: W, size: FrameSize, frames_per_s: f64) -> io::Result<Self> {
        let side =
            |pixels: u32| u16::try_from(pixels).map_err(|_| io::Error::other("a side of a GIF is at most 65535"));
        let mut encoder = gif::Encoder::new(out, side(size.width)?, side(size.height)?, &[]).map_err(as_io)?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(as_io)?;
        Ok(GifWriter {
            encoder,
            size,
            delay_cs: (100.0 / frames_per_s).round().clamp(2.0, 1000.0) as u16,
        })
    }

    /// Adds a picture. More than 256 colours are reduced to 256.
    ///
    /// # Errors
    /// When the picture has another size, or writing fails.
    pub fn push(&mut self, frame: &Frame) -> io::Result<()> {
        check_frame(frame, self.size)?;
        // Speed against quality of the reduction, 1 to 30.
        const SPEED: i32 = 10;
        let (width, height) = (self.size.width as u16, self.size.height as u16);
        let mut picture = gif::Frame::from_rgb_speed(width, height, &frame.rgb, SPEED);
        picture.delay = self.delay_cs;
        self.encoder.write_frame(&picture).map_err(as_io)
    }

    /// Ends the file and returns the output.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<W> {
        self.encoder.into_inner().map_err(as_io)
    }
}

/// Refuses a picture of another size than the film's.
fn check_frame(frame: &Frame, size: FrameSize) -> io::Result<()> {
    if frame.size != size {
        let [FrameSize { width, height }, other] = [size, frame.size];
        let problem = format!(
            "a picture of {} × {} in an animation of {width} × {height}",
            other.width, other.height
        );
        return Err(io::Error::other(problem));
    }
    frame.check()
}

/// Writer of an MP4 film through the program `ffmpeg`, which has to be installed. Pictures are piped to it one by one.
pub struct Mp4Writer {
    ffmpeg: Child,
    /// Where the pictures go; closed at the end of the film.
    pictures: Option<ChildStdin>,
    /// Reads what ffmpeg reports.
    report: Option<JoinHandle<String>>,
    size: FrameSize,
}

impl Mp4Writer {
    /// Starts a film of pictures of one size, in a file that is replaced if it exists. The file is whole after
    /// [`Mp4Writer::finish`]. Sides of an odd length get one more row or column, as the common encoders require.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no `ffmpeg` on the `PATH`; when it cannot be started.
    pub fn new(path: &Path, size: FrameSize, frames_per_s: f64) -> io::Result<Self> {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-nostats", "-loglevel", "error", "-y"])
            .args(["-f", "rawvideo", "-pixel_format", "rgb24"])
            .args(["-video_size", &format!("{}x{}", size.width, size.height)])
            .args(["-framerate", &frames_per_s.to_string(), "-i", "pipe:0"])
            .args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p"])
            .args(["-movflags", "+faststart", "-f", "mp4"])
            // With the scheme, a name with a colon in it is the name of a file too.
            .arg({
                let mut url = std::ffi::OsString::from("file:");
                url.push(path);
                url
            })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // Ctrl-C in a terminal is for the caller, who decides what becomes of the film.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut ffmpeg = command.spawn()?;
        let report = ffmpeg.stderr.take().map(|stderr| {
            thread::spawn(move || {
                let mut report = Vec::new();
                // What cannot be read is not reported.
                let _ = stderr.take(MOST_REPORT_BYTES).read_to_end(&mut report);
                String::from_utf8_lossy(&report).trim().replace('\n', "; ")
            })
        });
        Ok(Mp4Writer {
            pictures: ffmpeg.stdin.take(),
            ffmpeg,
            report,
            size,
        })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// When the picture has another size, or ffmpeg has given up.
    pub fn push(&mut self, frame: &Frame) -> io::Result<()> {
        check_frame(frame, self.size)?;
        let Some(pictures) = &mut self.pictures else {
            return Err(io::Error::other("the film has ended"));
        };
        match pictures.write_all(&frame.rgb) {
            // It ended, and says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.end(),
            other => other,
        }
    }

    /// Ends the film and waits until it is written.
    ///
    /// # Errors
    /// When ffmpeg fails, with what it reports.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.pictures = None;
        let status = self.ffmpeg.wait()?;
        let report = self.report.take().and_then(|report| report.join().ok());
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "ffmpeg failed ({status}): {}",
                report.unwrap_or_default()
            ))),
        }
    }
}

/// Upper limit of what is read of ffmpeg's report, far above what it says of one film.
const MOST_REPORT_BYTES: u64 = 64 << 10;

impl Drop for Mp4Writer {
    /// Ends ffmpeg, also in the middle of a film.
    fn drop(&mut self) {
        // After the end of the film it is gone already.
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}

fn as_io(error: gif::EncodingError) -> io::Error {
    match error {
        gif::EncodingError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// One picture of many: in rows of `columns`, from left to right and top to bottom, with narrow gaps. The cells have
/// the size of the first picture. Without pictures the sheet has no pixels.
pub fn contact_sheet(frames: &[Frame], columns: NonZero<u32>) -> Frame {
    const GAP: u32 = 4;
    const GROUND: Colour = Colour::rgb(90, 90, 90);
    let Some(FrameSize { width, height }) = frames.first().map(|frame| frame.size) else {
        return Frame::filled(FrameSize { width: 0, height: 0 }, GROUND);
    };
    let count = frames.len() as u32;
    let columns = columns.get().min(count);
    let sheet = FrameSize {
        width: columns * (width + GAP) + GAP,
        height: count.div_ceil(columns) * (height + GAP) + GAP,
    };
    let mut out = Frame::filled(sheet, GROUND);
    for (i, frame) in frames.iter().enumerate() {
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        out.paste(frame, GAP + column * (width + GAP), GAP + row * (height + GAP));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: FrameSize = FrameSize { width: 6, height: 4 };

    fn plain(level: u8) -> Frame {
        Frame::filled(SMALL, Colour::rgb(level, level, 255))
    }

    #[test]
    fn an_animation_reads_back_frame_by_frame() {
        let mut writer = GifWriter::new(Vec::new(), SMALL, 20.0).expect("memory takes everything");
        for level in [0, 100, 200] {
            writer.push(&plain(level)).expect("memory takes everything");
        }
        let other = Frame::filled(FrameSize { width: 5, height: 4 }, Colour::WHITE);
        assert!(writer.push(&other).is_err());
        let file = writer.finish().expect("memory takes everything");
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut reader = options.read_info(&file[..]).expect("a GIF");
        for level in [0, 100, 200] {
            let frame = reader.read_next_frame().expect("readable").expect("there is one more");
            assert_eq!((frame.width, frame.height, frame.delay), (6, 4, 5));
            assert_eq!(&frame.buffer[..4], &[level, level, 255, 255]);
        }
        assert!(reader.read_next_frame().expect("readable").is_none());
    }

    #[test]
    fn a_picture_with_missing_bytes_is_an_error_in_an_animation() {
        let mut writer = GifWriter::new(Vec::new(), SMALL, 20.0).expect("memory takes everything");
        let mut short = plain(0);
        short.rgb.truncate(5);
        let error = writer.push(&short).expect_err("refused").to_string();
        assert_eq!(error, "a picture of 6 × 4 pixels has 5 bytes, expected 72");
    }

    #[test]
    fn a_sheet_of_no_pictures_has_no_pixels() {
        let sheet = contact_sheet(&[], NonZero::new(2).expect("two"));
        assert_eq!((sheet.size.width, sheet.size.height, sheet.rgb.len()), (0, 0, 0));
    }

    #[test]
    fn a_sheet_holds_all_pictures_in_reading_order() {
        let frames: Vec<Frame> = [10, 20, 30].map(plain).into();
        let sheet = contact_sheet(&frames, NonZero::new(2).expect("two"));
        assert_eq!((sheet.size.width, sheet.size.height), (24, 20));
        assert_eq!(
            [(4, 4), (14, 4), (4, 12)].map(|(x, y)| sheet.pixel(x, y).red),
            [10, 20, 30]
        );
    }
}
