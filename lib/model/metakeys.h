/* What rectrain and classtrain leave in the metadata of weights; rdmodel(5) says what each holds. */
#ifndef RD_LIB_MODEL_METAKEYS_H
#define RD_LIB_MODEL_METAKEYS_H

#define RD_META_VERSION "rectdiff.version"
#define RD_META_WEIGHTS "rectdiff.weights" /* ema or raw */
#define RD_META_RUN "rectdiff.run"         /* JSON: how it was trained */
#define RD_META_DATA "rectdiff.data"       /* JSON: the meta of what it was trained on */
#define RD_META_STEP "rectdiff.step"
#define RD_META_HELD_OUT "rectdiff.held_out"
#define RD_META_GUIDANCE_LEARNT "rectdiff.guidance_learnt"

#endif
