/* Which engines cuDNN does convolutions by, and what is said where it has none. On a device: that a plain convolution has one with
 * tensor cores for each of its ways, in f32 one for its forward, and that cuBLASLt has algorithms for a plain linear layer; its
 * kernels on the CPU: how they are chosen among those that tests/cuda/cudnn.cpp names. */
#include <stdbool.h>

#include "tests/kernels.h"

static char notes[1 << 16];

static void listen(const char *line)
{
	size_t n = strlen(notes);

	snprintf(notes + n, sizeof notes - n, "%s\n", line);
}

static void make(const struct rd_backend *be, struct rd_dev *dev, struct rd_dims in, int64_t out_c, int kernel, int pad_hi,
                 unsigned ways)
{
	const struct rd_conv2d_desc d = { .in = in, .out_c = out_c, .kernel = kernel, .stride = kernel == 2 ? 2 : 1,
		                          .pad_lo = kernel == 3, .pad_hi = pad_hi };
	struct rd_conv2d *p;
	struct rd_err e;

	CHECK_OK(be->conv2d_new(dev, &d, ways, &p, &e), &e);
	be->conv2d_free(p);
}

/* What is told of a way of the plain convolution, NULL: nothing. */
static const char *told(const char *engines, const char *way)
{
	char line[200];
	const char *at;

	snprintf(line, sizeof line, "8x128x32x32 to 128, 3x3 over 1, %s: ", way);
	at = strstr(engines, line);
	return at ? at + strlen(line) : NULL;
}

static bool is_engine(const char *at)
{
	return at && !strncmp(at, "engine ", 7);
}

/* The ways of training, but for those that add. What a device has in f32 may all round or transform its operands, or add the bias in a
 * kernel of its own; the stand-in has one for each. */
static void plain(const struct rd_backend *be, struct rd_dev *dev, enum rd_precision precision, bool on_device)
{
	static const char *const ways[] = { "forward with bias", "by the input", "by the weights" };
	const bool strict = !on_device || precision != RD_PRECISION_F32;
	const char *text, *forward;

	make(be, dev, (struct rd_dims){ 8, 128, 32, 32 }, 128, 3, 1, RD_CONV_Y_BIAS | RD_CONV_DX | RD_CONV_DW);
	text = be->engines(dev);
	printf("%s", text);
	for (size_t i = 0; i < KT_N(ways); i++) {
		const char *at = told(text, ways[i]);

		CHECK(at != NULL);
		if (!at || !strict)
			continue;
		if (!is_engine(at))
			fprintf(stderr, "%s: %.*s\n", ways[i], (int)strcspn(at, "\n"), at);
		CHECK(is_engine(at));
		CHECK(precision == RD_PRECISION_F32 || memmem(at, strcspn(at, "\n"), ", tensor cores", 14));
	}
	forward = told(text, "forward");
	CHECK(is_engine(told(text, ways[0])) ? !forward : is_engine(forward)); /* none that was not asked for */
	CHECK(!told(text, "by the input +="));
}

static void *zeros(const struct rd_backend *be, struct rd_dev *dev, size_t bytes)
{
	void *p = NULL;
	struct rd_err e;

	CHECK_OK(be->alloc(dev, &p, bytes + 1, &e), &e);
	CHECK_OK(be->zero(dev, p, bytes, &e), &e);
	return p;
}

/* A linear layer's products, forward and backward, are done by algorithms of the library; the stand-in says nothing of its own. */
static void linear(const struct rd_backend *be, struct rd_dev *dev, bool on_device)
{
	enum { W, BIAS, PACKED, WS, X, Y, DX, DW, N_BUFS };
	const int64_t c = on_device ? 512 : 16;
	const size_t w = (size_t)(c * c) * sizeof(float);
	const struct rd_conv2d_desc d = { .in = { 8, c, 16, 16 }, .out_c = c, .kernel = 1, .stride = 1 };
	struct rd_conv2d_params par;
	struct rd_conv2d *p;
	void *buf[N_BUFS];
	struct rd_err e;

	CHECK_OK(be->conv2d_new(dev, &d, RD_CONV_ALL, &p, &e), &e);
	for (int i = 0; i < N_BUFS; i++)
		buf[i] = zeros(be, dev, i == W || i == DW ? w : i == BIAS ? (size_t)c * sizeof(float) : i == WS ? be->conv2d_ws_bytes(p) :
		                        i == PACKED ? be->conv2d_packed_bytes(p) : be->act_bytes(d.in));
	par = (struct rd_conv2d_params){ buf[W], buf[BIAS], buf[PACKED] };
	CHECK_OK(be->conv2d_pack(dev, 1, &p, &par, &e), &e);
	CHECK_OK(be->conv2d_fwd(dev, p, &par, buf[X], buf[Y], NULL, buf[WS], &e), &e);
	CHECK_OK(be->conv2d_bwd(dev, p, &par, buf[X], buf[Y], buf[DX], 0, buf[DW], NULL, buf[WS], &e), &e);
	CHECK_OK(be->sync(dev, &e), &e);
	CHECK(!strstr(notes, "cuBLASLt: no algorithm"));
	for (int i = 0; i < N_BUFS; i++)
		be->release(dev, buf[i]);
	be->conv2d_free(p);
}

/* Attention with much to do. On a device: where cuDNN is of a version that has it. */
static void attention(const struct rd_backend *be, struct rd_dev *dev, bool on_device)
{
	const struct rd_attention_desc d = { .d = { on_device ? 8 : 3, 640, on_device ? 64 : 4, on_device ? 64 : 4 },
		                             .keys = on_device ? 4096 : 16, .heads = 10, .scale = 0.125f };
	const char *at, *line = on_device ? "attention of 8x10 heads of 64, 4096 by 4096" : "attention of 3x10 heads of 64, 16 by 16";

	be->attention_ws_bytes(dev, &d, 0);
	be->attention_ws_bytes(dev, &d, 1);
	for (int i = 0; i < 2; i++) {
		char begins[100];

		snprintf(begins, sizeof begins, "%s%s: engine ", line, i ? ", with statistics" : "");
		at = strstr(be->engines(dev), begins);
		CHECK(at || (on_device && !strstr(be->engines(dev), "attention of")));
		CHECK(!at || on_device || strstr(at, ", tensor cores, compiled, 116 bytes\n"));
	}
}

/* The line of engines and notes that begins so. */
static void said(const char *engines, const char *line, bool noted)
{
	const char *at = strstr(engines, line);

	if (!at)
		fprintf(stderr, "not said: %s\nof\n%s", line, engines);
	CHECK(at != NULL);
	CHECK((strstr(notes, line) != NULL) == noted);
}

/* What has no engine is asked for once. */
static void no_attention(const struct rd_backend *be, struct rd_dev *dev)
{
	const struct rd_attention_desc d = { .d = { 2, 640, 4, 4 }, .keys = 16, .heads = 10, .scale = 0.125f };
	static const char line[] = "attention of 2x10 heads of 64, 16 by 16: none\n";
	const char *at;

	for (int i = 0; i < 3; i++)
		be->attention_ws_bytes(dev, &d, 0);
	at = strstr(be->engines(dev), line);
	CHECK(at && !strstr(at + 1, line));
}

static void chosen(const struct rd_backend *be, struct rd_dev *dev, enum rd_precision precision)
{
	const bool tensor = precision != RD_PRECISION_F32;
	const char *text;

	make(be, dev, (struct rd_dims){ 2, 16, 6, 5 }, 24, 3, 1, RD_CONV_DX_ACC);
	make(be, dev, (struct rd_dims){ 2, 12, 6, 5 }, 24, 3, 1, RD_CONV_DX);
	make(be, dev, (struct rd_dims){ 2, 16, 6, 5 }, 24, 3, 0, RD_CONV_Y);
	make(be, dev, (struct rd_dims){ 2, 17, 6, 5 }, 10, 3, 1, RD_CONV_Y);
	make(be, dev, (struct rd_dims){ 2, 16, 6, 6 }, 24, 2, 0, RD_CONV_Y);
	make(be, dev, (struct rd_dims){ 2, 16, 6, 5 }, 7, 3, 1, RD_CONV_Y_BIAS);
	make(be, dev, (struct rd_dims){ 2, 16, 4, 5 }, 24, 3, 1, RD_CONV_Y_ACC);
	text = be->engines(dev);
	said(text, tensor ? "2x16x6x5 to 24, 3x3 over 1, by the input +=: engine 4 by mode A, tensor cores, 1024 bytes; passed over for order "
	                  "of sums: 1; passed over for narrow sums: 1; passed over for no tensor cores: 1\n" :
	                  "2x16x6x5 to 24, 3x3 over 1, by the input +=: engine 2 by mode B, 1024 bytes; passed over for order of sums: 1\n",
	     false);
	said(text, tensor ? "2x12x6x5 to 24, 3x3 over 1, by the input: none; passed over for order of sums: 1; passed over for narrow sums: 1; "
	                  "passed over for no tensor cores: 2\n" : "2x12x6x5 to 24, 3x3 over 1, by the input: engine 2", tensor);
	said(text, "2x16x6x5 to 24, 3x3 over 1, forward: none; refused: heuristics: not supported: lopsided\n", true);
	if (!tensor)
		said(text, "2x17x6x5 to 10, 3x3 over 1, forward: none; passed over for order of sums: 1; passed over for narrow sums: 1; passed "
		           "over for no plan: 2; refused: a plan: not supported: odd channels\n", true);
	said(text, "2x16x6x6 to 24, 2x2 over 2, forward: none; refused: the graph: bad parameter: not a  graph \n", true);
	said(text, "2x16x6x5 to 7, 3x3 over 1, forward with bias: none\n", true);
	said(text, tensor ? "2x16x4x5 to 24, 3x3 over 1, forward with sum and bias: engine 4 by mode A, tensor cores, 3024 bytes;" :
	                    "2x16x4x5 to 24, 3x3 over 1, forward with sum and bias: engine 2 by mode B, 3024 bytes;", false);
	said(text, tensor ? "2x16x4x5 to 24, 3x3 over 1, forward +=: engine 4" : "2x16x4x5 to 24, 3x3 over 1, forward +=: engine 2", false);
	said(text, tensor ? "2x16x6x5 to 7, 3x3 over 1, forward: none" : "2x16x6x5 to 7, 3x3 over 1, forward: engine 2", tensor);
}

static void each(const struct rd_backend *host, enum rd_precision precision)
{
	const struct rd_dev_opts o = { .precision = precision, .note = listen };
	const struct rd_backend *be = host;
	struct rd_dev *dev;
	struct rd_err e;

	notes[0] = '\0';
	if (host ? host->open(&dev, &o, &e) : rd_device_open_with("cuda", o, &be, &dev, &e)) {
		printf("not tested: %s\n", e.msg);
		CHECK(!test_on_cuda());
		return;
	}
	if (strstr(be->describe(dev), "no cuDNN")) {
		printf("not tested: built without cuDNN\n");
		CHECK(!*be->engines(dev));
	} else {
		plain(be, dev, precision, !host);
		if (precision == RD_PRECISION_BF16)
			attention(be, dev, !host);
		if (host && precision == RD_PRECISION_BF16)
			no_attention(be, dev);
		if (host)
			chosen(be, dev, precision);
	}
	linear(be, dev, !host);
	be->close(dev);
}

int main(void)
{
	const struct rd_plugin *host = kt_cuda_on_host();

	for (int p = RD_PRECISION_F32; p <= RD_PRECISION_BF16; p++) {
		if (host)
			each(host->backend((enum rd_precision)p), (enum rd_precision)p);
		each(NULL, (enum rd_precision)p);
	}
	return check_report("engines");
}
