/* Models that tl2cgen and lleaves compiled to functions. */
#include "engine.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const struct bench *bench;
static void *result;

/* tl2cgen's function takes one row of unions: a number, or -1 for a missing one. */
static int single_entries, single_result;
static void (*predict_row)(void *, int, void *);
#define MOST_COLUMNS 256

static void open_tl2cgen(const struct bench *given) {
    bench = given;
    const char *(*threshold_type)(void) = symbol(bench->library, "get_threshold_type");
    const char *(*leaf_type)(void) = symbol(bench->library, "get_leaf_output_type");
    single_entries = !strcmp(threshold_type(), "float32");
    single_result = !strcmp(leaf_type(), "float32");
    predict_row = symbol(bench->library, "predict");
    if (bench->columns > MOST_COLUMNS) die("too many columns", NULL);
    result = allocate(bench->rows * bench->width * 8);
}

union single {
    int missing;
    float number;
};

union number {
    int missing;
    double number;
};

/* One copy for each type of the rows and of the thresholds. */
#define ENTRIES(name, from, entry)                                          \
    static void name(size_t first, size_t count, size_t to) {               \
        union entry entries[MOST_COLUMNS];                                  \
        const size_t width = bench->width * (single_result ? 4 : 8);        \
        char *out = (char *)result + to * width;                            \
        const from *numbers = row(bench, first);                            \
        for (size_t at = 0; at < count; at++, out += width) {               \
            for (size_t i = 0; i < bench->columns; i++, numbers++)          \
                if (isnan(*numbers)) entries[i].missing = -1;               \
                else entries[i].number = *numbers;                          \
            memset(out, 0, width);                                          \
            predict_row(entries, 0, out);                                   \
        }                                                                   \
    }
ENTRIES(single_to_single, float, single)
ENTRIES(single_to_double, float, number)
ENTRIES(double_to_single, double, single)
ENTRIES(double_to_double, double, number)

static struct answer predict_tl2cgen(size_t first, size_t count) {
    if (bench->single) split(bench, first, count, single_entries ? single_to_single : single_to_double);
    else split(bench, first, count, single_entries ? double_to_single : double_to_double);
    return (struct answer){.data = result, .single = single_result};
}

/* lleaves's function takes rows of f64, and adds to what is in the result. */
static void (*forest_root)(const double *, double *, int32_t, int32_t);

static void open_lleaves(const struct bench *given) {
    bench = given;
    if (bench->single) die("lleaves is given f64", NULL);
    forest_root = symbol(bench->library, "forest_root");
    result = allocate(bench->rows * bench->width * 8);
}

static void rows_of_lleaves(size_t first, size_t count, size_t to) {
    double *out = (double *)result + to * bench->width;
    memset(out, 0, count * bench->width * 8);
    forest_root(row(bench, first), out, 0, (int32_t)count);
}

static struct answer predict_lleaves(size_t first, size_t count) {
    split(bench, first, count, rows_of_lleaves);
    return (struct answer){.data = result};
}

const struct engine tl2cgen = {.name = "tl2cgen", .open = open_tl2cgen, .predict = predict_tl2cgen};
const struct engine lleaves = {.name = "lleaves", .open = open_lleaves, .predict = predict_lleaves};
