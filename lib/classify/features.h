/* Sets of images through a classifier: their features, and how many are recognised as what their labels say. */
#ifndef RD_LIB_CLASSIFY_FEATURES_H
#define RD_LIB_CLASSIFY_FEATURES_H

#include "lib/classify/classifier.h"
#include "lib/data/points.h"

/* RD_EINPUT, both shapes named, where p's samples are not what c takes; with labels also where one is none of its classes. */
int rd_classifier_fits(const struct rd_classifier *c, const struct rd_points *p, bool labels, struct rd_err *e) RD_MUST;

struct rd_agreement {
	bool there;       /* the samples have labels */
	double share, se; /* recognised as their label; its standard error */
};

/* p's samples, which fit c, become their features, [n, features]. *a, if not NULL, says how many were recognised where p has
 * labels, which then must fit too. tick, if not NULL, is told after every batch how many images it had. */
int rd_points_classify(struct rd_points *p, const struct rd_classifier *c, struct rd_classifier_run *r, int64_t batch,
                       void (*tick)(uint64_t n), struct rd_agreement *a, struct rd_err *e) RD_MUST;

#endif
