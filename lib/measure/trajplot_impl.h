/* What the halves of a picture of trajectories share: trajplot.c keeps, projects and fits, trajplot_draw.c draws. */
#ifndef RD_LIB_MEASURE_TRAJPLOT_IMPL_H
#define RD_LIB_MEASURE_TRAJPLOT_IMPL_H

#include "lib/measure/chords.h"
#include "lib/measure/trajplot.h"

struct rd_trajplot_input {
	const char *name;
	const struct rd_traj_grid *grid;
	const json_t *meta;
	const struct rd_chords *chords; /* NULL: without */
	size_t n, room;      /* trajectories kept, of at most room */
	uint64_t total;      /* that there were */
	float *x;            /* [n][K+1][dim] */
	double (*flat)[2];   /* [n][K+1]: along the picture's two directions */
};

struct rd_trajplot {
	struct rd_trajplot_opts o;
	size_t n, dim, room;
	struct rd_trajplot_input *in; /* [n], of room */
};

/* A square frame: its lower left corner, its side. */
struct rd_trajplot_frame {
	double lo[2], side;
};

static inline size_t rd_trajplot_nodes(const struct rd_trajplot_input *in)
{
	return (size_t)in->grid->steps + 1;
}

/* What the states at node k are divided by. */
double rd_trajplot_divisor(const struct rd_trajplot_input *in, enum rd_traj_coords c, size_t k);

/* Where the chord of trajectory i is at node k, as flat has it: projecting is linear, so that the path through two states is
 * drawn as the path through their two points. */
void rd_trajplot_chord(const struct rd_trajplot_input *in, size_t i, size_t k, double out[2]);

int rd_trajplot_draw(const struct rd_trajplot *p, struct rd_out *o, struct rd_err *e) RD_MUST;

/* The frame of input i's panel of coordinates c. */
struct rd_trajplot_frame rd_trajplot_fit(const struct rd_trajplot *p, size_t i, enum rd_traj_coords c);

#endif
