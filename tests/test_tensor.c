/* Numbers of half precision: every one of them there and back, and what lies between two. */
#include <math.h>
#include <string.h>

#include "lib/base/tensor.h"
#include "tests/check.h"

static float widened(uint16_t h, enum rd_dtype t)
{
	float f;

	rd_to_f32(&f, &h, t, 1);
	return f;
}

static uint16_t narrowed(float f, enum rd_dtype t)
{
	uint16_t h;
	size_t lost = rd_from_f32(&h, t, &f, 1);

	CHECK(lost == (isfinite(f) && !isfinite(widened(h, t))));
	return h;
}

/* most: the largest finite number's bits. */
static void every_one(enum rd_dtype t, uint16_t most)
{
	int bad = 0;

	for (uint32_t h = 0; h <= most; h++) {
		float f = widened((uint16_t)h, t), next = h < most ? widened((uint16_t)(h + 1), t) : INFINITY;
		float middle = h < most ? (float)(((double)f + (double)next) / 2) : f; /* exact: one more bit */
		uint16_t even = (uint16_t)(h + (h & 1)), up = (uint16_t)(h + 1);

		bad += narrowed(f, t) != h || narrowed(-f, t) != (h | 0x8000);
		if (h == most)
			continue;
		bad += narrowed(middle, t) != even || narrowed(-middle, t) != (even | 0x8000);
		bad += narrowed(nextafterf(middle, f), t) != h || narrowed(nextafterf(middle, INFINITY), t) != up;
	}
	CHECK(bad == 0);
	CHECK(isnan(widened(narrowed(NAN, t), t)) && widened(narrowed(INFINITY, t), t) == INFINITY);
	CHECK(widened(narrowed(-INFINITY, t), t) == -INFINITY && signbit(widened(narrowed(-0.0f, t), t)));
}

int main(void)
{
	const float many[4] = {1, 65519.99f, 65520, -1e30f}; /* the largest of F16 is 65504, and the step there 32 */
	uint16_t half[4];
	float same[4];

	every_one(RD_F16, 0x7bff);
	every_one(RD_BF16, 0x7f7f);
	CHECK(rd_from_f32(half, RD_F16, many, 4) == 2 && half[1] == 0x7bff && half[2] == 0x7c00 && half[3] == 0xfc00);
	CHECK(rd_from_f32(half, RD_BF16, many, 4) == 0);
	CHECK(rd_from_f32(half, RD_BF16, (const float[]){3.4e38f}, 1) == 1);
	CHECK(rd_from_f32(same, RD_F32, many, 4) == 0 && !memcmp(same, many, sizeof many));
	return check_report("tensor");
}
