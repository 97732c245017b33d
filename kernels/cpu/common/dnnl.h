/* The few calls of oneDNN that the backend makes, whose C API broke between versions 2 and 3. Convolutions on
 * (n,h,w,c) f32 and matrix products. Nothing here allocates but the _new functions. */
#ifndef RD_KERNELS_CPU_DNNL_H
#define RD_KERNELS_CPU_DNNL_H

#include "kernels/kernels.h"

struct rd_dnnl;      /* engine and stream */
struct rd_dnnl_conv; /* the primitives of one convolution */

int rd_dnnl_new(struct rd_dnnl **out, struct rd_err *e) RD_MUST;
void rd_dnnl_free(struct rd_dnnl *d);

/* C[m,n] = alpha op(A) op(B) + beta C, row-major; ta, tb: 'N' or 'T'. Inside a parallel region it runs on one
 * thread. */
int rd_dnnl_sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc, struct rd_err *e) RD_MUST;

/* Sizes in bytes, multiples of 64. */
struct rd_dnnl_conv_sizes {
	size_t fwd_w;   /* weights in the layout of forward */
	size_t bwd_w;   /* and of the input's gradient; 0 without training */
	size_t dw;      /* the gradient of the weights, in its own layout */
	size_t scratch; /* the largest that any of the primitives asks for */
};

int rd_dnnl_conv_new(struct rd_dnnl *dn, const struct rd_conv2d_desc *d, int training, struct rd_dnnl_conv **out,
                     struct rd_err *e) RD_MUST;
void rd_dnnl_conv_free(struct rd_dnnl_conv *c);
struct rd_dnnl_conv_sizes rd_dnnl_conv_sizes(const struct rd_dnnl_conv *c);

/* w OIHW into fwd_w and, when planned for training, bwd_w. */
int rd_dnnl_conv_pack(struct rd_dnnl_conv *c, const float *w, void *fwd_w, void *bwd_w, struct rd_err *e) RD_MUST;
/* y = conv(x) + b, or y +=; b [out_c]. */
int rd_dnnl_conv_fwd(struct rd_dnnl_conv *c, const void *fwd_w, const float *b, const float *x, float *y,
                     int accumulate, void *scratch, struct rd_err *e) RD_MUST;
int rd_dnnl_conv_bwd_data(struct rd_dnnl_conv *c, const void *bwd_w, const float *dy, float *dx, void *scratch,
                          struct rd_err *e) RD_MUST;
/* dw (own layout) and db [out_c] are written. */
int rd_dnnl_conv_bwd_weights(struct rd_dnnl_conv *c, const float *x, const float *dy, void *dw, float *db,
                             void *scratch, struct rd_err *e) RD_MUST;
/* w_grad (OIHW) += dw */
int rd_dnnl_conv_add_dw(struct rd_dnnl_conv *c, const void *dw, float *w_grad, struct rd_err *e) RD_MUST;

#endif
