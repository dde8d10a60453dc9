//! Listening: how loud a recording is, and whether a tone is in it (Goertzel's algorithm).

/// Samples of a recording: 16 bit, one channel, 8000 in a second.
#[derive(Debug)]
pub struct Sound(Vec<f64>);

const RATE: f64 = 8_000.0;
/// Samples that are judged together: a fifth of a second.
const WINDOW: usize = 1_600;

impl Sound {
    /// # Panics
    /// When it is not such a WAV file.
    pub fn of_wav(file: &[u8]) -> Self {
        assert_eq!(&file[..4], b"RIFF");
        assert_eq!(&file[8..16], b"WAVEfmt ");
        let number = |at: usize| u16::from_le_bytes([file[at], file[at + 1]]);
        assert_eq!((number(20), number(22), number(24), number(34)), (1, 1, 8_000, 16));
        let data = file.windows(4).position(|tag| tag == b"data").unwrap() + 8;
        let samples = file[data..].chunks_exact(2);
        Self(samples.map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect())
    }

    pub fn seconds(&self) -> f64 {
        seconds(self.0.len())
    }

    /// For how many seconds this tone is the better part of what is heard.
    pub fn seconds_of_tone(&self, hertz: f64) -> f64 {
        let windows = self.0.chunks_exact(WINDOW);
        seconds(windows.filter(|window| is_tone(window, hertz)).flatten().count())
    }
}

fn seconds(samples: usize) -> f64 {
    f64::from(u32::try_from(samples).unwrap()) / RATE
}

fn is_tone(window: &[f64], hertz: f64) -> bool {
    let energy: f64 = window.iter().map(|sample| sample * sample).sum();
    let coefficient = 2.0 * (std::f64::consts::TAU * hertz / RATE).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in window {
        (last, before) = (sample + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    let samples = f64::from(u32::try_from(window.len()).unwrap());
    let loudness = (energy / samples).sqrt();
    // A pure tone has all its energy here: power is energy times half the window.
    loudness > 200.0 && power > 0.6 * energy * samples / 2.0
}

#[test]
fn a_tone_is_told_from_another_and_from_silence() {
    let tone = |hertz: f64| {
        let sample = |n: i32| (std::f64::consts::TAU * hertz * f64::from(n) / RATE).sin() * 3_000.0;
        Sound((0..8_000).map(sample).collect())
    };
    assert!((tone(440.0).seconds_of_tone(440.0) - 1.0).abs() < 0.01);
    assert!(tone(880.0).seconds_of_tone(440.0) < 0.01);
    assert!(Sound(vec![0.0; 8_000]).seconds_of_tone(440.0) < 0.01);
}
