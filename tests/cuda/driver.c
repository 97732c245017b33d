/* In place of CUDA's driver, so that cuDNN makes plans of engines that it compiles where there is no device: takes any code, and
 * runs nothing. cuDNN looks these up by their names, or, from some version on, is linked with some. */
#define RD_NO_DEVICE 100

/* Whatever is asked, it is done. */
#define DONE(name) \
	int name(void); \
	int name(void) \
	{ \
		return 0; \
	}
DONE(cuCtxGetCurrent)
DONE(cuCtxGetLimit)
DONE(cuCtxPopCurrent)
DONE(cuCtxPushCurrent)
DONE(cuDeviceGet)
DONE(cuKernelSetAttribute)
DONE(cuLaunchCooperativeKernel)
DONE(cuLaunchKernel)
DONE(cuLaunchKernelEx)
DONE(cuLibraryLoadFromFile)
DONE(cuLibraryUnload)
DONE(cuLinkAddData)
DONE(cuLinkComplete)
DONE(cuLinkCreate)
DONE(cuLinkDestroy)
DONE(cuModuleUnload)
DONE(cuStreamGetCtx)
DONE(cuTensorMapEncodeIm2col)
DONE(cuTensorMapEncodeTiled)

/* What is asked for is something that is not NULL. */
static int thing;

#define GIVEN(name) \
	int name(void **out); \
	int name(void **out) \
	{ \
		*out = &thing; \
		return 0; \
	}
GIVEN(cuKernelGetFunction)
GIVEN(cuLibraryGetKernel)
GIVEN(cuLibraryLoadData)
GIVEN(cuModuleGetFunction)
GIVEN(cuModuleLoadData)

int cuKernelGetAttribute(int *value);
int cuKernelGetAttribute(int *value)
{
	*value = 0;
	return 0;
}

int cuOccupancyMaxPotentialClusterSize(int *blocks);
int cuOccupancyMaxPotentialClusterSize(int *blocks)
{
	*blocks = 8;
	return 0;
}

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
	*version = 13000;
	return 0;
}

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
	(void)flags;
	return RD_NO_DEVICE;
}

int cuDeviceGetCount(int *n);
int cuDeviceGetCount(int *n)
{
	*n = 0;
	return RD_NO_DEVICE;
}

static int words(const char **text)
{
	*text = "no device here";
	return 0;
}

int cuGetErrorString(int error, const char **text);
int cuGetErrorString(int error, const char **text)
{
	(void)error;
	return words(text);
}

int cuGetErrorName(int error, const char **text);
int cuGetErrorName(int error, const char **text)
{
	(void)error;
	return words(text);
}
