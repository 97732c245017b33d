/* Normals of samples: a thread for each block of the generator, which gives four neighbours in (c, h, w). */
#include "kernels/cuda/types.h"
#include "kernels/normal.h"

struct normal_job {
	uint64_t seed, index;
	uint32_t stream;
	int64_t images, elems, c, pixels;
};

static __global__ void normal_kernel(normal_job j, float *out)
{
	int64_t blocks = (j.elems + 3) / 4;

	for (int64_t image = blockIdx.y; image < j.images; image += gridDim.y)
		for (int64_t k = blockIdx.x * blockDim.x + threadIdx.x; k < blocks; k += (int64_t)gridDim.x * blockDim.x) {
			uint64_t index = j.index + (uint64_t)image;
			struct rd_u32x4 v = { (uint32_t)k, j.stream, (uint32_t)index, (uint32_t)(index >> 32) };
			struct rd_f32x2 p, q;
			float z[4];

			v = rd_philox_block(v, (uint32_t)j.seed, (uint32_t)(j.seed >> 32));
			p = rd_box_muller(v.a, v.b);
			q = rd_box_muller(v.c, v.d);
			z[0] = p.x;
			z[1] = p.y;
			z[2] = q.x;
			z[3] = q.y;
			for (int64_t i = 4 * k; i < 4 * k + 4 && i < j.elems; i++)
				out[image * j.elems + i % j.pixels * j.c + i / j.pixels] = z[i % 4];
		}
}

int rd_cuda_normal(struct rd_dev *dev, struct rd_dims d, uint64_t seed, enum rd_rng_stream s, uint64_t index, void *out,
                   struct rd_err *e)
{
	normal_job j = { seed, index, (uint32_t)s, d.n, d.c * d.h * d.w, d.c, d.h * d.w };
	int64_t blocks = (j.elems + 4 * RD_THREADS - 1) / (4 * RD_THREADS);
	dim3 grid(rd_blocks(blocks), rd_blocks_y(d.n));

	return RD_LAUNCH(dev, e, normal_kernel, grid, RD_THREADS, 0, j, (float *)out);
}
