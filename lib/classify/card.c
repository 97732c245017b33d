#include "lib/classify/card.h"

#include <stdio.h>
#include <stdlib.h>

/* A table of a JSON object's numbers and strings. */
static void rows(FILE *f, const json_t *o)
{
	const char *key;
	json_t *v;

	fprintf(f, "| training | |\n|---|---|\n");
	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

		fprintf(f, "| %s | `%s` |\n", key, json_is_string(v) ? json_string_value(v) : text ? text : "?");
		free(text);
	}
}

char *rd_classifier_card(const struct rd_classifier *c, const struct rd_classifier_story *s)
{
	char shape[64], *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fprintf(f, "# An image classifier, for its features\n\n"
	        "A network of %lld parameters that tells %lld classes of images of shape %s, with pixels in [-1, 1], apart. Its\n"
	        "features are the mean over the image of its last layer, %lld numbers; the logits are linear in them.\n"
	        "`samplecmp --features` measures distances between sets of images by them.\n\n",
	        (long long)rd_graph_param_count(c->params), (long long)c->net.num_classes,
	        rd_shape_str(&c->sample, shape, sizeof shape), (long long)rd_classifier_features(&c->net));
	if (s->test)
		fprintf(f, "%s\n\n", s->test);
	fprintf(f, "## How it was made\n\n");
	if (s->command)
		fprintf(f, "```\n%s\n```\n\n", s->command);
	fprintf(f, "It took %.0f seconds (%s). The weights are the moving average's; their hash is `%s`.\n\n", s->seconds, s->device,
	        c->hash);
	rows(f, s->run);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
