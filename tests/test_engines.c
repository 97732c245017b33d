/* Which engines cuDNN does convolutions by, and what is said where it has none. On a device: that a plain convolution has one with
 * tensor cores for each of its ways; its kernels on the CPU: how they are chosen among those that tests/cuda/cudnn.cpp names. */
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

/* The ways of training, but for those that add. */
static void plain(const struct rd_backend *be, struct rd_dev *dev, enum rd_precision precision)
{
	static const char *const ways[] = { "forward with bias", "by the input", "by the weights" };
	const char *text;

	make(be, dev, (struct rd_dims){ 8, 128, 32, 32 }, 128, 3, 1, RD_CONV_Y_BIAS | RD_CONV_DX | RD_CONV_DW);
	text = be->engines(dev);
	printf("%s", text);
	for (size_t i = 0; i < KT_N(ways); i++) {
		char line[200];
		const char *at;
		size_t len;

		snprintf(line, sizeof line, "8x128x32x32 to 128, 3x3 over 1, %s: ", ways[i]);
		at = strstr(text, line);
		CHECK(at != NULL);
		if (!at)
			continue;
		at += strlen(line);
		len = strcspn(at, "\n");
		if (strncmp(at, "engine ", 7) != 0)
			fprintf(stderr, "%s%.*s\n", line, (int)len, at);
		CHECK(!strncmp(at, "engine ", 7));
		CHECK(precision == RD_PRECISION_F32 || memmem(at, len, ", tensor cores", 14));
	}
	CHECK(!strstr(text, "by the input +=") && !strstr(text, "forward: ")); /* none that was not asked for */
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
		plain(be, dev, precision);
		if (host)
			chosen(be, dev, precision);
	}
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
