/* The classifier: its loss and gradient against plain formulas, what a step sees, what it learns, its folder, what it refuses,
 * and how well the shipped one does. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/tree.h"
#include "lib/classify/features.h"
#include "lib/measure/metrics.h"
#include "lib/train/classify.h"
#include "tests/device.h"
#include "tests/graphs.h"

#define N 24
#define DIM (2 * 7 * 7)
#define CLASSES 3

static const struct rd_backend *be;
static struct rd_dev *dev;
static struct rd_err e;
static float image[N * DIM];
static int32_t label_of[N];
static struct rd_points data = {.x = image, .n = N, .d = DIM, .sample = {3, {2, 7, 7}}, .label = label_of};

static const struct rd_classify_opts plain = {.steps = 60, .batch = 5, .lr = 3e-3, .ema = 0.5, .seed = 7};

/* Noise, brighter by the label in one quarter. */
static void make_data(void)
{
	for (int i = 0; i < N; i++) {
		label_of[i] = i % CLASSES;
		rd_rng_normal(1, RD_RNG_DATA, (uint64_t)i, image + i * DIM, DIM);
		for (int k = 0; k < 12; k++)
			image[i * DIM + k] += (float)label_of[i] * 1.5f;
	}
}

static struct rd_classifier new_classifier(uint64_t seed)
{
	const struct rd_classifier_net net = graphs_classifier_net();
	struct rd_classifier c;

	CHECK_OK(rd_classifier_new(&c, &net, seed, &e), &e);
	return c;
}

static struct rd_classify *trainer(const struct rd_classifier *c, const struct rd_classify_opts *o)
{
	struct rd_classify *t;

	CHECK_OK(rd_classify_new(&t, c, &data, be, dev, o, &e), &e);
	return t;
}

/* --- the loss ----------------------------------------------------------------------------------------------------- */

/* The mean of -ln softmax from the logits of an executor of its own, summed plainly in double. */
static double loss_of(const struct rd_classifier *c, const float *x, const int32_t *label, int n)
{
	struct rd_classifier_run *r;
	float *z = calloc((size_t)n * CLASSES, sizeof *z);
	double sum = 0;

	CHECK_OK(rd_classifier_open(&r, c, be, dev, n, &e), &e);
	CHECK_OK(rd_classifier_apply(r, x, n, NULL, z, &e), &e);
	for (int i = 0; i < n; i++) {
		double s = 0;

		for (int k = 0; k < CLASSES; k++)
			s += exp((double)z[i * CLASSES + k]);
		sum -= log(exp((double)z[i * CLASSES + label[i]]) / s) / n;
	}
	rd_classifier_close(r);
	free(z);
	return sum;
}

/* Along the gradient by one parameter, to fourth order in the step. */
static double derivative(struct rd_classifier *c, const struct rd_param *p, const float *grad, double norm, int n)
{
	static const double at[] = {-2, -1, 1, 2}, weight[] = {1, -8, 8, -1}, h = 0.01;
	float *w = c->w + p->offset, was[4096];
	double sum = 0;

	memcpy(was, w, p->n_elems * sizeof *w);
	for (int s = 0; s < 4; s++) {
		for (size_t k = 0; k < p->n_elems; k++)
			w[k] = (float)((double)was[k] + at[s] * h * (double)grad[k] / norm);
		sum += weight[s] * loss_of(c, image, label_of, n) / (12 * h);
	}
	memcpy(w, was, p->n_elems * sizeof *w);
	return sum;
}

static void gradient(void)
{
	struct rd_classifier c = new_classifier(3);
	struct rd_classify *t = trainer(&c, &plain);
	float *grad = calloc(c.params->n_flat, sizeof *grad);
	double loss, worst = 0;

	CHECK_OK(rd_classify_loss(t, image, label_of, &loss, grad, &e), &e);
	CHECK_NEAR(loss, loss_of(&c, image, label_of, 5), test_bound(1e-6));
	for (int i = 0; i < c.params->n_params; i++) {
		const struct rd_param *p = &c.params->param[i];
		double norm = 0, far;

		for (size_t k = 0; k < p->n_elems; k++)
			norm += (double)grad[p->offset + k] * (double)grad[p->offset + k];
		norm = sqrt(norm);
		CHECK(norm > 1e-4 && p->n_elems <= 4096);
		far = fabs(derivative(&c, p, grad + p->offset, norm, 5) - norm) / norm;
		if (!(far < test_bound(2e-3)))
			fprintf(stderr, "gradient by %s: error %.2g of its norm\n", p->name, far);
		CHECK(far < test_bound(2e-3));
		worst = fmax(worst, far);
	}
	printf("  gradient of the loss against finite differences: by %d parameters at worst %.1g\n", c.params->n_params, worst);
	rd_classify_free(t);
	rd_classifier_free(&c);
	free(grad);
}

/* A classifier that knows nothing loses ln K. */
static void ignorance(void)
{
	struct rd_classifier c = new_classifier(3);
	struct rd_classify *t;
	double loss;

	memset(c.w, 0, c.params->n_flat * sizeof *c.w);
	t = trainer(&c, &plain);
	CHECK_OK(rd_classify_loss(t, image, label_of, &loss, NULL, &e), &e);
	CHECK_NEAR(loss, log(3), 1e-6);
	rd_classify_free(t);
	rd_classifier_free(&c);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* The image at (x + dx, y + dy), mirrored or not, edges repeated. */
static void moved(const float *from, int dx, int dy, int mirrored, float *to)
{
	for (int k = 0; k < DIM; k++) {
		int x = k % 7 + dx, y = k / 7 % 7 + dy;

		x = x < 0 ? 0 : x > 6 ? 6 : x;
		y = y < 0 ? 0 : y > 6 ? 6 : y;
		to[k] = from[k / 49 * 49 + y * 7 + (mirrored ? 6 - x : x)];
	}
}

/* What the steps' losses are of: images in shuffled order, each moved by what its number draws. With a rate of 0 the weights
 * stay as they are. */
static void batches(int shift, bool flip)
{
	struct rd_classify_opts o = plain;
	struct rd_classifier c = new_classifier(3);
	struct rd_classify *t;
	struct rd_step_report r;
	uint32_t order[N], w[3];
	float x[5 * DIM];
	int32_t y[5];

	o.lr = 0;
	o.shift = shift;
	o.flip = flip;
	t = trainer(&c, &o);
	for (uint64_t s = 0; s < 9; s++) {
		for (uint64_t j = 0, i = 5 * s; j < 5; j++, i++) {
			rd_rng_permutation(o.seed, RD_RNG_SHUFFLE, i / N, order, N);
			rd_rng_words(o.seed, RD_RNG_AUGMENT, i, w, 3);
			moved(image + order[i % N] * DIM, (int)((uint64_t)w[0] * (2 * (uint64_t)shift + 1) >> 32) - shift,
			      (int)((uint64_t)w[1] * (2 * (uint64_t)shift + 1) >> 32) - shift, flip && w[2] >> 31, x + j * DIM);
			y[j] = label_of[order[i % N]];
		}
		CHECK_OK(rd_classify_step(t, &r, &e), &e);
		CHECK_NEAR(r.loss, loss_of(&c, x, y, 5), test_bound(1e-6));
		CHECK(r.lr == 0 && r.grad_norm > 0);
	}
	rd_classify_free(t);
	rd_classifier_free(&c);
}

/* The weights after one step, and the average that is kept of them. */
static float *after_a_step(const struct rd_classifier *c, double ema)
{
	struct rd_classify_opts o = plain;
	struct rd_classify *t;
	struct rd_step_report r;
	float *w = malloc(c->params->n_flat * sizeof *w);

	o.ema = ema;
	t = trainer(c, &o);
	CHECK_OK(rd_classify_step(t, &r, &e), &e);
	CHECK_OK(rd_classify_average(t, w, &e), &e);
	rd_classify_free(t);
	return w;
}

static void average(void)
{
	struct rd_classifier c = new_classifier(3);
	float *last = after_a_step(&c, 0), *mean = after_a_step(&c, 0.75);
	double moved_by = 0;

	for (size_t i = 0; i < c.params->n_flat; i++) {
		CHECK_NEAR(mean[i], 0.75 * (double)c.w[i] + 0.25 * (double)last[i], 1e-6);
		moved_by = fmax(moved_by, fabs((double)last[i] - (double)c.w[i]));
	}
	CHECK_NEAR(moved_by, plain.lr, 1e-5); /* Adam's first step is the rate in each direction */
	free(last);
	free(mean);
	rd_classifier_free(&c);
}

/* Up to lr in three steps, then half of a cosine. */
static void rates(void)
{
	static const double want[] = {1. / 3, 2. / 3, 1, 1, 0.75, 0.25};
	struct rd_classify_opts o = plain;
	struct rd_classifier c = new_classifier(3);
	struct rd_classify *t;
	struct rd_step_report r;

	o.steps = 6;
	o.warmup = 3;
	t = trainer(&c, &o);
	for (int s = 0; s < 6; s++) {
		CHECK_OK(rd_classify_step(t, &r, &e), &e);
		CHECK_NEAR(r.lr / o.lr, want[s], 1e-12);
	}
	rd_classify_free(t);
	rd_classifier_free(&c);
}

static struct rd_agreement agreement(const struct rd_classifier *c, struct rd_points *p)
{
	struct rd_agreement a;
	struct rd_classifier_run *r;

	CHECK_OK(rd_classifier_open(&r, c, be, dev, 256, &e), &e);
	CHECK_OK(rd_points_classify(p, c, r, 256, NULL, &a, &e), &e);
	rd_classifier_close(r);
	return a;
}

/* A copy of the first n of p, as the library allocates it. */
static struct rd_points copy_of(const struct rd_points *p, int64_t n)
{
	struct rd_points q = {.n = n, .d = p->d, .sample = p->sample};

	q.x = malloc((size_t)n * p->d * sizeof *q.x);
	memcpy(q.x, p->x, (size_t)n * p->d * sizeof *q.x);
	q.label = p->label ? malloc((size_t)n * sizeof *q.label) : NULL;
	if (q.label)
		memcpy(q.label, p->label, (size_t)n * sizeof *q.label);
	return q;
}

static void no_tick(int64_t step, const struct rd_step_report *r)
{
	(void)step;
	(void)r;
}

static float *learned(uint64_t seed, double *share)
{
	struct rd_classify_opts o = plain;
	struct rd_classifier c = new_classifier(3);
	struct rd_points p = copy_of(&data, N);
	struct rd_classify *t;
	float *w = malloc(c.params->n_flat * sizeof *w);

	o.seed = seed;
	t = trainer(&c, &o);
	CHECK_OK(rd_classify_go(t, NULL, 1, no_tick, &e), &e);
	CHECK_OK(rd_classify_average(t, c.w, &e), &e);
	memcpy(w, c.w, c.params->n_flat * sizeof *w);
	*share = agreement(&c, &p).share;
	rd_classify_free(t);
	rd_classifier_free(&c);
	rd_points_free(&p);
	return w;
}

/* It learns its few images by heart; the same bits from the same seed, others from another. */
static void learning(void)
{
	struct rd_classifier c = new_classifier(3);
	size_t bytes = c.params->n_flat * sizeof *c.w;
	double a, b, d;
	float *one = learned(7, &a), *two = learned(7, &b), *other = learned(8, &d);

	CHECK(a == 1 && d == 1);
	CHECK(!memcmp(one, two, bytes) && memcmp(one, other, bytes) != 0);
	free(one);
	free(two);
	free(other);
	rd_classifier_free(&c);
}

/* Features of one image do not depend on those beside it, and a batch may be short. */
static void features(void)
{
	struct rd_classifier c = new_classifier(3);
	struct rd_classifier_run *r;
	float together[5 * 16], one[16], z[CLASSES];

	CHECK_OK(rd_classifier_open(&r, &c, be, dev, 8, &e), &e);
	CHECK_OK(rd_classifier_apply(r, image, 5, together, NULL, &e), &e);
	for (int i = 0; i < 5; i++) {
		CHECK_OK(rd_classifier_apply(r, image + i * DIM, 1, one, z, &e), &e);
		for (int k = 0; k < 16; k++)
			CHECK_NEAR(one[k], together[i * 16 + k], test_bound(1e-6));
	}
	CHECK(rd_classifier_apply(r, image, 9, together, NULL, &e) == RD_EUSAGE);
	rd_classifier_close(r);
	rd_classifier_free(&c);
}

/* --- the folder and refusals -------------------------------------------------------------------------------------- */

static char folder[64];

static const char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static bool only_entry(const char *name)
{
	DIR *d = opendir(folder);
	bool seen = false, other = false;

	for (struct dirent *f; d && (f = readdir(d));)
		if (!strcmp(f->d_name, name))
			seen = true;
		else if (f->d_name[0] != '.')
			other = true;
	closedir(d);
	return seen && !other;
}

static void saved(void)
{
	struct rd_classifier c = new_classifier(3), back;
	const char *dir = in_folder("c");
	struct stat st;

	CHECK_OK(rd_classifier_save(&c, dir, NULL, "card", false, &e), &e);
	CHECK(rd_classifier_save(&c, dir, NULL, "card", false, &e) == RD_EFAIL && strstr(e.msg, "is there already"));
	CHECK_OK(rd_classifier_save(&c, dir, NULL, "card", true, &e), &e);
	CHECK_OK(rd_classifier_load(&back, in_folder("c"), &e), &e);
	CHECK(!strcmp(back.hash, c.hash) && !memcmp(back.w, c.w, c.params->n_flat * sizeof *c.w));
	CHECK(!memcmp(&back.net, &c.net, sizeof c.net));
	rd_classifier_free(&back);
	CHECK(only_entry("c")); /* nothing of what was refused or replaced is left */
	CHECK(!stat(in_folder("c/diffusion_pytorch_model.safetensors"), &st));
	CHECK(!truncate(in_folder("c/diffusion_pytorch_model.safetensors"), st.st_size - 4));
	CHECK(rd_classifier_load(&back, in_folder("c"), &e) == RD_EINPUT && strstr(e.msg, "diffusion_pytorch_model"));
	CHECK(rd_classifier_load(&back, in_folder("nowhere"), &e) < 0 && strstr(e.msg, "nowhere"));
	rd_classifier_free(&c);
}

static void configs(void)
{
	static const char good[] = "'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':28,'block_out_channels':[8,8],"
	                           "'num_classes':10";
	const struct {
		const char *config, *why; /* why NULL: taken */
	} cases[] = {
		{good, NULL},
		{"'_class_name':'UNet2DModel'", "RectdiffClassifier"},
		{"'in_channels':1", "_class_name"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'block_out_channels':[8],'num_classes':10", "sample_size"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':[8],'block_out_channels':[8],'num_classes':10",
		 "sample_size"},
		{"'_class_name':'RectdiffClassifier','sample_size':8,'block_out_channels':[8],'num_classes':10", "in_channels"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[8]", "num_classes"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[],'num_classes':10",
		 "block_out_channels"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[8,-8],'num_classes':10",
		 "block_out_channels"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[8],'num_classes':1",
		 "num_classes"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[8],'num_classes':65536", NULL},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[8],'num_classes':65537",
		 "num_classes: 65537 is outside 2..65536"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':[4097,1],'block_out_channels':[8],'num_classes':9",
		 "sample_size: 4097"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':[1,0],'block_out_channels':[8],'num_classes':9",
		 "sample_size: 0"},
		{"'_class_name':'RectdiffClassifier','in_channels':1,'sample_size':8,'block_out_channels':[8],'num_classes':9,"
		 "'depth':3", "depth"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rd_classifier_net net;
		char text[512];
		json_t *j;
		int rc;

		snprintf(text, sizeof text, "{%s}", cases[i].config);
		for (char *p = text; (p = strchr(p, '\'')); p++)
			*p = '"';
		j = json_loads(text, 0, NULL);
		rc = rd_classifier_parse(&net, j, "config.json", &e);
		CHECK(cases[i].why ? rc == RD_EINPUT && strstr(e.msg, cases[i].why) && strstr(e.msg, "config.json") : !rc);
		json_decref(j);
	}
}

/* What cannot be averaged, grouped, or halved is refused when the graph is built. */
static void sizes(void)
{
	struct rd_classifier_net net = graphs_classifier_net();
	struct rd_graph *g;

	net.height = net.width = 12; /* 12, 6, 3 */
	CHECK(rd_classifier_build(&net, 1, &g, &e) == RD_ESHAPE && strstr(e.msg, "3x3") && !g);
	net.height = 7;
	CHECK(rd_classifier_build(&net, 1, &g, &e) == RD_ESHAPE && strstr(e.msg, "2x3"));
	net = graphs_classifier_net();
	net.norm_num_groups = 5;
	CHECK(rd_classifier_build(&net, 1, &g, &e) == RD_ESHAPE && strstr(e.msg, "groups"));
}

static void unfit(void)
{
	struct rd_classifier c = new_classifier(3);
	struct rd_points p = data;
	struct rd_classify *t;

	p.sample.d[1] = 14;
	CHECK(rd_classify_new(&t, &c, &p, be, dev, &plain, &e) == RD_EINPUT && !t);
	CHECK(strstr(e.msg, "[2, 14, 7]") && strstr(e.msg, "[2, 7, 7]"));
	p = data;
	p.label = NULL;
	CHECK(rd_classify_new(&t, &c, &p, be, dev, &plain, &e) == RD_EINPUT && strstr(e.msg, "label"));
	for (int32_t bad = -1; bad <= 3; bad += 4) {
		label_of[4] = bad;
		CHECK(rd_classify_new(&t, &c, &data, be, dev, &plain, &e) == RD_EINPUT && strstr(e.msg, "of sample 4"));
		CHECK_OK(rd_classifier_fits(&c, &data, false, &e), &e);
	}
	label_of[4] = 4 % CLASSES;
	rd_classifier_free(&c);
}

/* --- the shipped one ---------------------------------------------------------------------------------------------- */

#define SHIPPED "models/fashion-classifier"
#define DATASET "/usr/share/datasets/fashion-mnist/"
#define SHIPPED_RIGHT 930 /* of the first 1000 test images */

static struct rd_metric_value frechet(struct rd_points *a, const struct rd_points *b)
{
	const struct rd_metrics_opts o = {.want = {[RD_METRIC_FRECHET] = true}, .bootstrap = 2, .components = 64,
	                                  .projections = 1, .neighbours = 1};
	struct rd_metrics m;

	CHECK_OK(rd_metrics_compute(a, b, &o, &m, &e), &e);
	return m.m[RD_METRIC_FRECHET];
}

/* Of test images with noise of each strength added, from the images themselves. */
static void noisy(const struct rd_classifier *c, const struct rd_points *all)
{
	static const double strength[] = {0, 0.1, 0.2, 0.4, 0.8};
	struct rd_points clean = copy_of(all, 1000);
	double last = -1;

	agreement(c, &clean);
	for (size_t s = 0; s < sizeof strength / sizeof *strength; s++) {
		struct rd_points p = copy_of(all, 1000);
		float z[784];
		double d;

		for (int64_t i = 0; i < p.n; i++) {
			rd_rng_normal(5, RD_RNG_DATA, (uint64_t)i, z, 784);
			for (int64_t k = 0; k < 784; k++)
				p.x[i * 784 + k] += (float)strength[s] * z[k];
		}
		agreement(c, &p);
		d = frechet(&p, &clean).value;
		printf("  noise of %.1f: Frechet distance of features %.4g\n", strength[s], d);
		CHECK(s ? d > 1.5 * last && d > 1e-3 : fabs(d) < 1e-6);
		last = d;
		rd_points_free(&p);
	}
	rd_points_free(&clean);
}

static void shipped(void)
{
	static const char *const test[] = {"sample=" DATASET "t10k-images-idx3-ubyte.gz",
	                                   "label=" DATASET "t10k-labels-idx1-ubyte.gz"};
	struct rd_classifier c;
	struct rd_points all, p;
	double right;

	CHECK_OK(rd_classifier_load(&c, SHIPPED, &e), &e);
	if (access(DATASET "t10k-images-idx3-ubyte.gz", R_OK)) {
		printf("skip: no " DATASET " here: the shipped classifier's accuracy\n");
		rd_classifier_free(&c);
		return;
	}
	CHECK_OK(rd_points_load(&all, test, 2, "sample", &e), &e);
	CHECK(all.n == 10000 && all.label);
	p = copy_of(&all, 1000);
	right = 1000 * agreement(&c, &p).share;
	printf("  of the first 1000 test images %.0f are recognised\n", right);
	CHECK_NEAR(right, SHIPPED_RIGHT, test_on_cuda() ? 5 : 1); /* one may be a near tie */
	noisy(&c, &all);
	rd_points_free(&p);
	rd_points_free(&all);
	rd_classifier_free(&c);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof folder, "%.40s/classify.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(folder));
	CHECK_OK(test_open(&be, &dev, 1, &e), &e);
	make_data();
	gradient();
	ignorance();
	batches(0, false);
	batches(2, true);
	average();
	rates();
	learning();
	features();
	saved();
	configs();
	sizes();
	unfit();
	shipped();
	be->close(dev);
	rd_remove_tree(folder);
	return check_report("classify");
}
