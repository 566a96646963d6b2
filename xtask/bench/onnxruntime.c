/* onnxruntime through its C API. Its header is not in the wheel: the functions are taken by their place in OrtApi, which
   only ever grows at its end. */
#include "engine.h"

#include <stdint.h>
#include <string.h>

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_INTRA_OP_NUM_THREADS = 24,
    SESSION_GET_OUTPUT_COUNT = 31,
    SESSION_GET_INPUT_NAME = 36,
    SESSION_GET_OUTPUT_NAME = 37,
    CREATE_TENSOR_WITH_DATA = 49,
    GET_TENSOR_MUTABLE_DATA = 51,
    CREATE_CPU_MEMORY_INFO = 69,
    GET_ALLOCATOR = 78,
    RELEASE_VALUE = 96,
    VERSION = 16,
    FLOAT = 1,
    ERROR = 3,
    DEVICE_ALLOCATOR = 0,
    DEFAULT_MEMORY = 0,
};

struct base {
    const void *const *(*api)(uint32_t);
};

static const struct bench *bench;
static const void *const *api;
static void *session, *memory;
static char *input, *output;
static float *rows;

static void check(void *status) {
    const char *(*message)(const void *) = api[GET_ERROR_MESSAGE];
    if (status) die("onnxruntime", message(status));
}

static void open(const struct bench *given) {
    bench = given;
    const struct base *(*get_base)(void) = symbol(bench->library, "OrtGetApiBase");
    if (!(api = get_base()->api(VERSION))) die("onnxruntime has no API of this version", NULL);
    void *env, *options, *allocator;
    check(((void *(*)(int, const char *, void **))api[CREATE_ENV])(ERROR, "bench", &env));
    check(((void *(*)(void **))api[CREATE_SESSION_OPTIONS])(&options));
    check(((void *(*)(void *, int))api[SET_INTRA_OP_NUM_THREADS])(options, bench->threads));
    check(((void *(*)(void *, const char *, void *, void **))api[CREATE_SESSION])(env, bench->model, options, &session));
    check(((void *(*)(int, int, void **))api[CREATE_CPU_MEMORY_INFO])(DEVICE_ALLOCATOR, DEFAULT_MEMORY, &memory));
    check(((void *(*)(void **))api[GET_ALLOCATOR])(&allocator));
    size_t outputs;
    check(((void *(*)(void *, size_t *))api[SESSION_GET_OUTPUT_COUNT])(session, &outputs));
    /* a classifier's are its labels, then its probabilities */
    void *(*input_name)(void *, size_t, void *, char **) = api[SESSION_GET_INPUT_NAME];
    void *(*output_name)(void *, size_t, void *, char **) = api[SESSION_GET_OUTPUT_NAME];
    check(input_name(session, 0, allocator, &input));
    check(output_name(session, outputs - 1, allocator, &output));
    if (bench->single) return;
    rows = allocate(bench->rows * bench->columns * sizeof *rows);
    for (size_t i = 0; i < bench->rows * bench->columns; i++) rows[i] = (float)((const double *)bench->data)[i];
}

static void *tensor(float *data, int64_t count, int64_t columns) {
    int64_t shape[] = {count, columns};
    void *value;
    void *(*create)(void *, void *, size_t, const int64_t *, size_t, int, void **) = api[CREATE_TENSOR_WITH_DATA];
    check(create(memory, data, (size_t)(count * columns) * sizeof *data, shape, 2, FLOAT, &value));
    return value;
}

static struct answer predict(size_t first, size_t count) {
    /* binary classifiers have a column for each class */
    const int both = bench->width == 1 && strcmp(output, "probabilities") == 0;
    float *data = rows ? rows + first * bench->columns : (float *)row(bench, first);
    void *in = tensor(data, (int64_t)count, (int64_t)bench->columns);
    static void *out;
    void (*release)(void *) = api[RELEASE_VALUE];
    if (out) release(out);
    out = NULL;
    void *(*run)(void *, void *, char **, void **, size_t, char **, size_t, void **) = api[RUN];
    check(run(session, NULL, &input, &in, 1, &output, 1, &out));
    release(in);
    float *result;
    check(((void *(*)(void *, void **))api[GET_TENSOR_MUTABLE_DATA])(out, (void **)&result));
    if (both)
        for (size_t at = 0; at < count; at++) result[at] = result[2 * at + 1];
    return (struct answer){.data = result, .single = 1};
}

const struct engine onnxruntime = {.name = "onnxruntime", .open = open, .predict = predict};
