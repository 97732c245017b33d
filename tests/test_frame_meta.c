/* What of meta is written is read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/frame.h"
#include "tests/check.h"

/* Whether a stream of this meta (taken over) is written; what is written must be read, and be the same. */
static bool kept(json_t *meta)
{
	char path[] = "/tmp/test_frame.XXXXXX";
	struct rd_stream s = {"data", 1, {"x"}, meta};
	struct rd_frame_reader *r;
	struct rd_frame_writer *w;
	struct rd_out *o;
	struct rd_in *in;
	struct rd_frame f;
	struct rd_err e;
	int fd = mkstemp(path);
	bool written;

	CHECK(fd >= 0 && !close(fd));
	CHECK_OK(rd_out_open(&o, path, 0, &e), &e);
	written = !rd_frame_writer_open(&w, o, &s, &e);
	if (written) {
		CHECK_OK(rd_frame_writer_finish(w, meta, &e), &e);
		CHECK_OK(rd_out_finish(o, &e), &e);
		CHECK_OK(rd_in_open(&in, path, &e), &e);
		CHECK_OK(rd_frame_reader_open(&r, in, &e), &e);
		CHECK(rd_frame_next(r, &f, &e) == 0);
		CHECK(json_equal(rd_frame_reader_stream(r)->meta, meta) && json_equal(rd_frame_reader_end_meta(r), meta));
		rd_frame_reader_close(r);
	} else {
		rd_out_abort(o);
	}
	unlink(path);
	json_decref(meta);
	return written;
}

/* As deep, and with keys as long, as the format has them. */
static void test_meta_bounds(void)
{
	char key[40000];

	for (int arrays = 0; arrays <= 20; arrays++) { /* in the map of the stream and that of meta */
		json_t *v = json_integer(7);

		for (int i = 0; i < arrays; i++)
			v = json_pack("[o]", v);
		CHECK(kept(json_pack("{s:o}", "a", v)) == (arrays <= 14));
	}
	for (size_t n = 1; n < sizeof key; n = n * 5 / 2) {
		memset(key, 'k', n);
		key[n] = '\0';
		CHECK(kept(json_pack("{s:i}", key, 1)));
	}
}

int main(void)
{
	test_meta_bounds();
	return check_report("test_frame_meta");
}
