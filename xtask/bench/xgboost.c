/* XGBoost through its C API: XGBoosterPredictFromDense, which is what `inplace_predict` calls; and contributions, for which
   it wants a DMatrix of the rows. */
#include "engine.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static const struct bench *bench;
static void *booster;
static const char *(*last_error)(void);
static int (*predict_from_dense)(void *, const char *, const char *, void *, const uint64_t **, uint64_t *, const float **);

static void check(int status) {
    if (status) die("XGBoost", last_error());
}

static void open(const struct bench *given) {
    bench = given;
    last_error = symbol(bench->library, "XGBGetLastError");
    predict_from_dense = symbol(bench->library, "XGBoosterPredictFromDense");
    int (*create)(void *, uint64_t, void **) = symbol(bench->library, "XGBoosterCreate");
    int (*load)(void *, const char *) = symbol(bench->library, "XGBoosterLoadModel");
    int (*set)(void *, const char *, const char *) = symbol(bench->library, "XGBoosterSetParam");
    check(create(NULL, 0, &booster));
    check(load(booster, bench->model));
    check(set(booster, "nthread", bench->threads == 1 ? "1" : "2"));
}

/* The rows as XGBoost is told of them: where they are, and what. */
static void describe(char *array, size_t length, size_t first, size_t count) {
    snprintf(array, length, "{\"data\": [%" PRIuPTR ", true], \"shape\": [%zu, %zu], \"typestr\": \"<f%d\", \"version\": 3}",
             (uintptr_t)row(bench, first), count, bench->columns, bench->single ? 4 : 8);
}

static struct answer predict(size_t first, size_t count) {
    static const char config[] =
        "{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": false, "
        "\"cache_id\": 0, \"missing\": NaN}";
    char array[256];
    describe(array, sizeof array, first, count);
    const uint64_t *shape;
    uint64_t dimensions;
    const float *result;
    check(predict_from_dense(booster, array, config, NULL, &shape, &dimensions, &result));
    return (struct answer){.data = result, .single = 1};
}

static int (*matrix_from_dense)(const char *, const char *, void **);
static int (*free_matrix)(void *);
static int (*predict_from_matrix)(void *, void *, const char *, const uint64_t **, uint64_t *, const float **);

static void open_contributions(const struct bench *given) {
    open(given);
    matrix_from_dense = symbol(bench->library, "XGDMatrixCreateFromDense");
    free_matrix = symbol(bench->library, "XGDMatrixFree");
    predict_from_matrix = symbol(bench->library, "XGBoosterPredictFromDMatrix");
}

static struct answer contributions(size_t first, size_t count) {
    static const char config[] =
        "{\"type\": 2, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": false}";
    char array[256], how[64];
    describe(array, sizeof array, first, count);
    snprintf(how, sizeof how, "{\"missing\": NaN, \"nthread\": %d}", bench->threads);
    void *matrix;
    const uint64_t *shape;
    uint64_t dimensions;
    const float *result;
    check(matrix_from_dense(array, how, &matrix));
    check(predict_from_matrix(booster, matrix, config, &shape, &dimensions, &result));
    check(free_matrix(matrix));
    return (struct answer){.data = result, .single = 1};
}

const struct engine xgboost = {.name = "xgboost", .open = open, .predict = predict};
const struct engine xgboost_contributions = {
    .name = "xgboost_contributions", .open = open_contributions, .predict = contributions};
