/* LightGBM through its C API: PredictForMat, of values or of contributions, and for one row PredictForMatSingleRowFast. */
#include "engine.h"

#include <stdint.h>

enum { FLOAT32 = 0, FLOAT64 = 1, NORMAL = 0, CONTRIBUTIONS = 3, ROW_MAJOR = 1 };

static const struct bench *bench;
static void *booster, *fast;
static double *result;
static const char *parameters;
static const char *(*last_error)(void);
static int (*for_mat)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *, double *);
static int (*single_row)(void *, const void *, int64_t *, double *);

static void check(int status) {
    if (status) die("LightGBM", last_error());
}

static void open(const struct bench *given) {
    bench = given;
    parameters = bench->threads == 1 ? "num_threads=1" : "num_threads=2";
    last_error = symbol(bench->library, "LGBM_GetLastError");
    for_mat = symbol(bench->library, "LGBM_BoosterPredictForMat");
    int (*load)(const char *, int *, void **) = symbol(bench->library, "LGBM_BoosterCreateFromModelfile");
    int iterations;
    check(load(bench->model, &iterations, &booster));
    result = allocate(bench->rows * bench->width * sizeof *result);
}

static struct answer run(size_t first, size_t count, int kind) {
    int64_t length;
    check(for_mat(booster, row(bench, first), bench->single ? FLOAT32 : FLOAT64, (int32_t)count, (int32_t)bench->columns,
                  ROW_MAJOR, kind, 0, -1, parameters, &length, result));
    return (struct answer){.data = result};
}

static struct answer predict(size_t first, size_t count) {
    return run(first, count, NORMAL);
}

static struct answer contributions(size_t first, size_t count) {
    return run(first, count, CONTRIBUTIONS);
}

static void open_single_row(const struct bench *given) {
    open(given);
    single_row = symbol(bench->library, "LGBM_BoosterPredictForMatSingleRowFast");
    int (*init)(void *, int, int, int, int, int32_t, const char *, void **) =
        symbol(bench->library, "LGBM_BoosterPredictForMatSingleRowFastInit");
    check(init(booster, NORMAL, 0, -1, bench->single ? FLOAT32 : FLOAT64, (int32_t)bench->columns, parameters, &fast));
}

static struct answer predict_single_row(size_t first, size_t count) {
    int64_t length;
    if (count != 1) die("one row only", 0);
    check(single_row(fast, row(bench, first), &length, result));
    return (struct answer){.data = result};
}

const struct engine lightgbm = {.name = "lightgbm", .open = open, .predict = predict};
const struct engine lightgbm_single_row = {
    .name = "lightgbm_single_row", .open = open_single_row, .predict = predict_single_row};
const struct engine lightgbm_contributions = {.name = "lightgbm_contributions", .open = open, .predict = contributions};
