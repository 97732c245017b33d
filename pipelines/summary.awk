# Tables of samplecmp --tsv, with names METHOD[.SEED[.ITERATION]]-STEPS, into one with a row for each method and number of steps: the
# mean over the seeds and, where there are several, their standard deviation. With -v last=N a row for each iteration instead,
# what has none in its name being of iteration N. Columns that end in _se are left out. LC_ALL=C is needed where the locale has a
# decimal comma.
BEGIN { FS = OFS = "\t" }
FNR == 1 { for (i = 2; i <= NF; i++) column[i] = $i; next }
{
	steps = $1; sub(/.*-/, "", steps)
	name = substr($1, 1, length($1) - length(steps) - 1)
	n = split(name, part, ".")
	key = part[1] OFS (last ? (n > 2 ? part[3] : last) : steps)
	if (!(key in seen)) { seen[key]; row[++rows] = key }
	for (i = 2; i <= NF; i++) {
		c = column[i]
		if (c ~ /_se$/ || $i == "-") continue
		if (!(c in known)) { known[c]; head[++heads] = c }
		count[key, c]++; sum[key, c] += $i; square[key, c] += $i * $i
	}
}
END {
	printf "method\t%s\tseeds", last ? "iterations" : "steps"
	for (h = 1; h <= heads; h++) printf "\t%s\t%s_sd", head[h], head[h]
	print ""
	for (r = 1; r <= rows; r++) {
		key = row[r]
		printf "%s\t%d", key, count[key, head[1]]
		for (h = 1; h <= heads; h++) {
			n = count[key, head[h]]
			if (!n) { printf "\t-\t-"; continue }
			mean = sum[key, head[h]] / n
			var = n > 1 ? (square[key, head[h]] - n * mean * mean) / (n - 1) : 0
			printf "\t%.5g\t%s", mean, (n > 1 ? sprintf("%.2g", sqrt(var > 0 ? var : 0)) : "-")
		}
		print ""
	}
}
