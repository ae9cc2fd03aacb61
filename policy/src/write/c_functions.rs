//! The functions of a C file, one for each operation: [`body_of`].
//!
//! C99 without extensions; `y` never overlaps what is read.

/// The definition of a function by its name.
pub fn body_of(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|(own, _)| *own == name).map(|(_, body)| *body)
}

/// Functions that a function calls; they are defined before it.
pub fn needs(name: &str) -> &'static [&'static str] {
    match name {
        "experts" | "mat_mul" => &["linear"],
        _ => &[],
    }
}

const FUNCTIONS: &[(&str, &str)] = &[
    (
        "linear",
        "/* y [rows, n] = x [rows, k] w [k, n] + b [n], of which b may be null */
static void linear(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                   int rows, int k, int n)
{
    for (int row = 0; row < rows; row++, x += k, y += n) {
        const float *a = w;
        int i = 0;
        for (int j = 0; j < n; j++) {
            y[j] = b ? b[j] : 0.0f;
        }
        for (; i + 4 <= k; i += 4, a += 4 * n) {
            const float x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];
            for (int j = 0; j < n; j++) {
                y[j] += (x0 * a[j] + x1 * a[n + j]) + (x2 * a[2 * n + j] + x3 * a[3 * n + j]);
            }
        }
        for (; i < k; i++, a += n) {
            for (int j = 0; j < n; j++) {
                y[j] += x[i] * a[j];
            }
        }
    }
}
",
    ),
    (
        "experts",
        "/* a linear layer for each expert: x [experts, rows, k], w [experts, k, n], b [experts, n] */
static void experts(const float *x, const float *w, const float *b, float *y, int count, int rows, int k, int n)
{
    for (int expert = 0; expert < count; expert++) {
        linear(x + expert * rows * k, w + expert * k * n, b + expert * n, y + expert * rows * n, rows, k, n);
    }
}
",
    ),
    (
        "mat_mul",
        "/* y [count, m, n] = a [count, m, k] b [count, k, n] */
static void mat_mul(const float *a, const float *b, float *y, int count, int m, int k, int n)
{
    for (int i = 0; i < count; i++) {
        linear(a + i * m * k, b + i * k * n, NULL, y + i * m * n, m, k, n);
    }
}
",
    ),
    (
        "convolution",
        "/* x [channels, height, width], w [filters, channels, side, side], b [filters], y [filters, rows, columns] */
static void convolution(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                        int channels, int height, int width, int filters, int side, int stride, int padding, int rows,
                        int columns)
{
    for (int filter = 0; filter < filters; filter++, w += channels * side * side) {
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                float sum = b[filter];
                for (int channel = 0; channel < channels; channel++) {
                    for (int dy = 0; dy < side; dy++) {
                        const int v = row * stride + dy - padding;
                        if (v < 0 || v >= height) {
                            continue;
                        }
                        for (int dx = 0; dx < side; dx++) {
                            const int u = column * stride + dx - padding;
                            if (u >= 0 && u < width) {
                                sum += w[(channel * side + dy) * side + dx] * x[(channel * height + v) * width + u];
                            }
                        }
                    }
                }
                *y++ = sum;
            }
        }
    }
}
",
    ),
    (
        "max_pool",
        "/* x [channels, height, width], y [channels, rows, columns] */
static void max_pool(const float *x, float *y, int channels, int height, int width, int extent, int stride, int padding,
                     int rows, int columns)
{
    for (int channel = 0; channel < channels; channel++, x += height * width) {
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                float most = -HUGE_VALF;
                for (int v = row * stride - padding; v < row * stride - padding + extent; v++) {
                    for (int u = column * stride - padding; u < column * stride - padding + extent; u++) {
                        if (v >= 0 && v < height && u >= 0 && u < width && x[v * width + u] > most) {
                            most = x[v * width + u];
                        }
                    }
                }
                *y++ = most;
            }
        }
    }
}
",
    ),
    (
        "patch_mean",
        "/* x [channels, height, width], y [channels, rows, columns]: the mean of each patch */
static void patch_mean(const float *x, float *y, int channels, int height, int width, int size, int rows, int columns)
{
    for (int channel = 0; channel < channels; channel++, x += height * width) {
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                float sum = 0.0f;
                int count = 0;
                for (int v = row * size; v < (row + 1) * size && v < height; v++) {
                    for (int u = column * size; u < (column + 1) * size && u < width; u++) {
                        sum += x[v * width + u];
                        count++;
                    }
                }
                *y++ = sum / (float)count;
            }
        }
    }
}
",
    ),
    (
        "layer_norm",
        "/* mean 0 and variance 1 of each row [n], then a gain and a shift */
static void layer_norm(const float *x, const float *gain, const float *shift, float *y, int rows, int n, float eps)
{
    for (int row = 0; row < rows; row++, x += n, y += n) {
        double mean = 0.0, scatter = 0.0, scale;
        for (int i = 0; i < n; i++) {
            mean += (double)x[i];
        }
        mean /= n;
        for (int i = 0; i < n; i++) {
            scatter += ((double)x[i] - mean) * ((double)x[i] - mean);
        }
        scale = 1.0 / sqrt(scatter / n + (double)eps);
        for (int i = 0; i < n; i++) {
            y[i] = (float)(((double)x[i] - mean) * scale) * gain[i] + shift[i];
        }
    }
}
",
    ),
    (
        "image_norm",
        "/* mean 0 and variance 1 of an image [channels, area], then a gain and a shift for each channel */
static void image_norm(const float *x, const float *gain, const float *shift, float *y, int channels, int area, float eps)
{
    double mean = 0.0, scatter = 0.0, scale;
    for (int i = 0; i < channels * area; i++) {
        mean += (double)x[i];
    }
    mean /= channels * area;
    for (int i = 0; i < channels * area; i++) {
        scatter += ((double)x[i] - mean) * ((double)x[i] - mean);
    }
    scale = 1.0 / sqrt(scatter / (channels * area) + (double)eps);
    for (int i = 0; i < channels * area; i++) {
        y[i] = (float)(((double)x[i] - mean) * scale) * gain[i / area] + shift[i / area];
    }
}
",
    ),
    (
        "unit_norm",
        "/* each row [n] divided by its length */
static void unit_norm(const float *x, float *y, int rows, int n, float eps)
{
    for (int row = 0; row < rows; row++, x += n, y += n) {
        double squares = 0.0;
        float length;
        for (int i = 0; i < n; i++) {
            squares += (double)x[i] * (double)x[i];
        }
        length = (float)sqrt(squares + (double)eps);
        for (int i = 0; i < n; i++) {
            y[i] = x[i] / length;
        }
    }
}
",
    ),
    (
        "relu",
        "static void relu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
    }
}
",
    ),
    (
        "gelu",
        "static void gelu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));
    }
}
",
    ),
    (
        "silu",
        "static void silu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] / (1.0f + expf(-x[i]));
    }
}
",
    ),
    (
        "tanh_of",
        "static void tanh_of(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = tanhf(x[i]);
    }
}
",
    ),
    (
        "elu",
        "static void elu(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : expm1f(x[i]);
    }
}
",
    ),
    (
        "exp_of",
        "static void exp_of(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = expf(x[i]);
    }
}
",
    ),
    (
        "ln_of",
        "static void ln_of(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = logf(x[i]);
    }
}
",
    ),
    (
        "softplus",
        "static void softplus(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = (x[i] > 0.0f ? x[i] : 0.0f) + log1pf(expf(-fabsf(x[i])));
    }
}
",
    ),
    (
        "scale",
        "static void scale(const float *x, float *y, int n, float factor, float offset)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] * factor + offset;
    }
}
",
    ),
    (
        "clamp",
        "static void clamp(const float *x, float *y, int n, float low, float high)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
    }
}
",
    ),
    (
        "add",
        "/* b [m] is repeated over x [n] */
static void add(const float *x, const float *b, float *y, int n, int m)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] + b[i % m];
    }
}
",
    ),
    (
        "subtract",
        "/* b [m] is repeated over x [n] */
static void subtract(const float *x, const float *b, float *y, int n, int m)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] - b[i % m];
    }
}
",
    ),
    (
        "multiply",
        "/* b [m] is repeated over x [n] */
static void multiply(const float *x, const float *b, float *y, int n, int m)
{
    for (int i = 0; i < n; i++) {
        y[i] = x[i] * b[i % m];
    }
}
",
    ),
    (
        "softmax",
        "/* over the middle dimension of [outer, extent, inner] */
static void softmax(const float *x, float *y, int outer, int extent, int inner)
{
    for (int block = 0; block < outer; block++, x += extent * inner, y += extent * inner) {
        for (int at = 0; at < inner; at++) {
            float most = x[at], total = 0.0f;
            for (int i = 1; i < extent; i++) {
                most = x[i * inner + at] > most ? x[i * inner + at] : most;
            }
            for (int i = 0; i < extent; i++) {
                y[i * inner + at] = expf(x[i * inner + at] - most);
                total += y[i * inner + at];
            }
            for (int i = 0; i < extent; i++) {
                y[i * inner + at] /= total;
            }
        }
    }
}
",
    ),
    (
        "mean_of",
        "/* over the middle dimension of [outer, extent, inner] */
static void mean_of(const float *x, float *y, int outer, int extent, int inner)
{
    for (int block = 0; block < outer; block++, x += extent * inner) {
        for (int at = 0; at < inner; at++) {
            float sum = 0.0f;
            for (int i = 0; i < extent; i++) {
                sum += x[i * inner + at];
            }
            *y++ = sum / (float)extent;
        }
    }
}
",
    ),
    (
        "max_of",
        "/* over the middle dimension of [outer, extent, inner] */
static void max_of(const float *x, float *y, int outer, int extent, int inner)
{
    for (int block = 0; block < outer; block++, x += extent * inner) {
        for (int at = 0; at < inner; at++) {
            float most = x[at];
            for (int i = 1; i < extent; i++) {
                most = x[i * inner + at] > most ? x[i * inner + at] : most;
            }
            *y++ = most;
        }
    }
}
",
    ),
    (
        "transpose",
        "/* x [outer, a, middle, b, inner], y [outer, b, middle, a, inner] */
static void transpose(const float *x, float *y, int outer, int a, int middle, int b, int inner)
{
    for (int block = 0; block < outer; block++, y += a * middle * b * inner) {
        for (int i = 0; i < a; i++) {
            for (int m = 0; m < middle; m++) {
                for (int j = 0; j < b; j++) {
                    for (int k = 0; k < inner; k++) {
                        y[((j * middle + m) * a + i) * inner + k] = *x++;
                    }
                }
            }
        }
    }
}
",
    ),
    (
        "slice",
        "/* len numbers from start on of each of the blocks [size] */
static void slice(const float *x, float *y, int blocks, int size, int start, int len)
{
    for (int block = 0; block < blocks; block++, x += size) {
        for (int i = 0; i < len; i++) {
            *y++ = x[start + i];
        }
    }
}
",
    ),
    (
        "concatenate",
        "/* the blocks a [of_a] and b [of_b] in turn */
static void concatenate(const float *a, const float *b, float *y, int blocks, int of_a, int of_b)
{
    for (int block = 0; block < blocks; block++) {
        for (int i = 0; i < of_a; i++) {
            *y++ = *a++;
        }
        for (int i = 0; i < of_b; i++) {
            *y++ = *b++;
        }
    }
}
",
    ),
    (
        "one_hot",
        "/* concatenated one-hot vectors of the indices x [count] */
static void one_hot(const float *x, float *y, const int *sizes, int count)
{
    for (int position = 0; position < count; position++) {
        for (int i = 0; i < sizes[position]; i++) {
            *y++ = x[position] >= 0.0f && (int)x[position] == i ? 1.0f : 0.0f;
        }
    }
}
",
    ),
    (
        "greatest",
        "/* the index of the greatest number of each position */
static void greatest(const float *x, float *y, const int *sizes, int count)
{
    for (int position = 0; position < count; position++) {
        int best = 0;
        for (int i = 1; i < sizes[position]; i++) {
            best = x[i] > x[best] ? i : best;
        }
        y[position] = (float)best;
        x += sizes[position];
    }
}
",
    ),
    (
        "draw_index",
        "/* the first index whose cumulative probability is above a uniform number */
static void draw_index(const float *x, const float *uniform, float *y, int n)
{
    float most = x[0], total = 0.0f, cumulative = 0.0f;
    int index = 0;
    for (int i = 1; i < n; i++) {
        most = x[i] > most ? x[i] : most;
    }
    for (int i = 0; i < n; i++) {
        total += expf(x[i] - most);
    }
    for (; index < n - 1; index++) {
        cumulative += expf(x[index] - most) / total;
        if (cumulative > uniform[0]) {
            break;
        }
    }
    y[0] = (float)index;
}
",
    ),
    (
        "unravel",
        "/* the tuple of a joint index */
static void unravel(const float *x, float *y, const int *sizes, int count)
{
    int rest = (int)x[0];
    for (int position = count - 1; position >= 0; position--) {
        y[position] = (float)(rest % sizes[position]);
        rest /= sizes[position];
    }
}
",
    ),
    (
        "rescale",
        "/* from [-1, 1] to the bounds of each number */
static void rescale(const float *x, const float *low, const float *high, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        const double middle = ((double)low[i] + (double)high[i]) / 2.0;
        const double half = ((double)high[i] - (double)low[i]) / 2.0;
        const float scaled = (float)(middle + (double)x[i] * half);
        y[i] = x[i] >= 1.0f || scaled > high[i] ? high[i] : x[i] <= -1.0f || scaled < low[i] ? low[i] : scaled;
    }
}
",
    ),
];

/// Peaks and quantiles of Fourier densities, as `interpreter/fourier.rs` computes them. FREQUENCIES is replaced.
pub const FOURIER: &str = "/* Fourier densities of FREQUENCIES frequencies: the weights of cosines and sines */
static void series_FREQUENCIES(const float *x, double *cosine, double *sine, float share, float base)
{
    const int count = FREQUENCIES + 1;
    float re0 = x[0] + base, power = 0.0f;
    for (int l = 0; l < count; l++) {
        const float re = l == 0 ? re0 : x[l], im = x[count + l];
        power += re * re + im * im;
    }
    for (int shift = 1; shift < count; shift++) {
        float real = 0.0f, imaginary = 0.0f;
        for (int l = 0; l + shift < count; l++) {
            const float re = l == 0 ? re0 : x[l], im = x[count + l];
            const float re_m = x[l + shift], im_m = x[count + l + shift];
            real += re * re_m + im * im_m;
            imaginary += re * im_m - im * re_m;
        }
        cosine[shift - 1] = (double)(real * ((1.0f - share) / (power + 1e-6f)));
        sine[shift - 1] = (double)(imaginary * ((1.0f - share) / (power + 1e-6f)));
    }
}

/* 0: the density; 1: the distribution function; 2 and 3: minus the first and second derivative of the density */
static double series_at_FREQUENCIES(const double *cosine, const double *sine, double z, int what)
{
    const double pi = 3.14159265358979323846;
    double sum = 0.0;
    for (int k = 1; k <= FREQUENCIES; k++) {
        const double wave = k * pi, a = cosine[k - 1], b = sine[k - 1];
        const double s = sin(wave * z), c = cos(wave * z);
        switch (what) {
        case 0:
            sum += a * c - b * s;
            break;
        case 1:
            sum += (a * s + b * (c - (k % 2 == 0 ? 1.0 : -1.0))) / wave;
            break;
        case 2:
            sum += (a * s + b * c) * wave;
            break;
        default:
            sum += (a * c - b * s) * wave * wave;
            break;
        }
    }
    return what == 0 ? 0.5 + sum : what == 1 ? (z + 1.0) * 0.5 + sum : sum;
}

/* the root of function - offset within a bracket, by Newton's method with bisection */
static double series_root_FREQUENCIES(const double *cosine, const double *sine, double z, double low, double high,
                                      int function, int derivative, double offset)
{
    for (int step = 0; step < 8; step++) {
        const double value = series_at_FREQUENCIES(cosine, sine, z, function) - offset;
        const double next = z - value / series_at_FREQUENCIES(cosine, sine, z, derivative);
        if (value < 0.0) {
            low = z;
        } else {
            high = z;
        }
        z = next >= low && next <= high ? next : (low + high) * 0.5;
    }
    return z;
}

static void peak_FREQUENCIES(const float *x, float *y, int n, float share, float base)
{
    enum { cells = 8 * (FREQUENCIES + 1) };
    const double width = 2.0 / cells;
    for (int i = 0; i < n; i++, x += 2 * (FREQUENCIES + 1)) {
        double cosine[FREQUENCIES], sine[FREQUENCIES], grid[cells], best = -HUGE_VAL, found = 0.0;
        unsigned char tried[cells] = {0};
        series_FREQUENCIES(x, cosine, sine, share, base);
        for (int cell = 0; cell < cells; cell++) {
            grid[cell] = series_at_FREQUENCIES(cosine, sine, cell * width - 1.0, 0);
        }
        for (int peak = 0; peak < 8; peak++) {
            int top = -1;
            double start, z, density;
            for (int cell = 0; cell < cells; cell++) {
                const int is_peak = grid[cell] >= grid[(cell + cells - 1) % cells] && grid[cell] >= grid[(cell + 1) % cells];
                if (is_peak && !tried[cell] && (top < 0 || grid[cell] > grid[top])) {
                    top = cell;
                }
            }
            if (top < 0) {
                break;
            }
            tried[top] = 1;
            start = top * width - 1.0;
            z = series_root_FREQUENCIES(cosine, sine, start, start - width, start + width, 2, 3, 0.0);
            density = series_at_FREQUENCIES(cosine, sine, z, 0);
            if (density > best) {
                best = density;
                found = z;
            }
        }
        y[i] = (float)(found >= -1.0 ? found : found + 2.0);
    }
}

static void quantile_FREQUENCIES(const float *x, const float *uniform, float *y, int n, float share, float base)
{
    enum { cells = 8 * (FREQUENCIES + 1) };
    const double width = 2.0 / cells;
    for (int i = 0; i < n; i++, x += 2 * (FREQUENCIES + 1)) {
        double cosine[FREQUENCIES], sine[FREQUENCIES], below = 0.0, above = 1.0, low, part, z;
        const double u = (double)uniform[i];
        int cell = 0;
        series_FREQUENCIES(x, cosine, sine, share, base);
        for (int border = 1; border <= cells; border++) {
            const double at = series_at_FREQUENCIES(cosine, sine, border * width - 1.0, 1);
            if (at <= u && border < cells) {
                cell = border;
                below = at;
            } else {
                above = at;
                break;
            }
        }
        low = cell * width - 1.0;
        part = (u - below) / (above - below);
        part = part < 0.0 ? 0.0 : part > 1.0 ? 1.0 : part;
        z = series_root_FREQUENCIES(cosine, sine, low + part * width, low - 1e-9, low + width + 1e-9, 1, 0, u);
        y[i] = (float)(z < -1.0 ? -1.0 : z > 1.0 ? 1.0 : z);
    }
}
";
