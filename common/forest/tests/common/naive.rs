//! The obvious way: one row, one tree, one node at a time, by the contract of each part of a [`Model`].

use arborgate_forest::{CategoryRule, Combine, Finish, Model, Node, Precision, Split, Test, Tree};

/// A row's margins.
pub fn margins(model: &Model, row: &[f64]) -> Vec<f64> {
    let row: Vec<f64> = if model.columns().is_empty() {
        row.to_vec()
    } else {
        model.columns().iter().map(|column| column.double(row[column.feature as usize])).collect()
    };
    let sum = model.sum();
    let round = |x: f64| if sum.precision == Precision::Single { f64::from(x as f32) } else { x };
    let mut margins = sum.start.clone();
    for (number, tree) in model.trees().iter().enumerate() {
        let leaf = leaf(model, tree, &row);
        let all: Vec<usize> = tree.target().map_or_else(|| (0..margins.len()).collect(), |target| vec![target]);
        for (at, margin) in all.iter().enumerate() {
            let value = linear(tree, leaf, &row).unwrap_or_else(|| tree.values()[leaf * all.len() + at]);
            let so_far = &mut margins[*margin];
            *so_far = match sum.combine {
                Combine::Add => round(*so_far + round(value)),
                _ if number == 0 => value,
                Combine::Min => so_far.min(value),
                Combine::Max => so_far.max(value),
            };
        }
    }
    match &sum.finish {
        Finish::Nothing => {}
        Finish::Divide(by) => margins.iter_mut().for_each(|margin| *margin = round(*margin / by)),
        Finish::DivideAndShift { by, shift } => {
            margins.iter_mut().zip(shift).for_each(|(margin, shift)| *margin = round(round(*margin / by) + shift));
        }
        Finish::ScaleAndShift { scale, shift } => {
            margins.iter_mut().zip(shift).for_each(|(margin, shift)| *margin = round(round(*margin * scale) + shift));
        }
    }
    margins
}

/// Which leaf of a tree a row ends in.
pub fn leaf(model: &Model, tree: &Tree, row: &[f64]) -> usize {
    let mut at = 0;
    loop {
        match &tree.nodes()[at as usize] {
            Node::Leaf(leaf) => return *leaf as usize,
            Node::Split(split) => at = if left(model, tree, split, row) { split.left } else { split.right },
        }
    }
}

fn left(model: &Model, tree: &Tree, split: &Split, row: &[f64]) -> bool {
    let x = row[split.column as usize];
    let single = x as f32;
    if x.is_nan() {
        return split.missing_left;
    }
    match split.test {
        Test::AtMost(_) if split.zero_is_missing && x.abs() <= f64::from(1e-35_f32) => split.missing_left,
        Test::AtMost(threshold) if model.input().precision == Precision::Single => f64::from(single) <= threshold,
        Test::AtMost(threshold) => x <= threshold,
        Test::OneOf(set) => {
            let set = &tree.sets()[set as usize];
            match model.input().category {
                CategoryRule::Whole => set.iter().any(|category| *category as f64 == x),
                CategoryRule::Truncated32 => single >= 0.0 && set.contains(&(f64::from(single.floor()) as i64)),
                CategoryRule::Truncated64 => x > -1.0 && x < 2.0_f64.powi(31) && set.contains(&(x.trunc() as i64)),
            }
        }
    }
}

fn linear(tree: &Tree, leaf: usize, row: &[f64]) -> Option<f64> {
    let linear = tree.linear().get(leaf)?;
    let terms = || linear.terms.iter().map(|(column, coefficient)| (row[*column as usize], coefficient));
    if terms().any(|(x, _)| x.is_nan()) {
        return None;
    }
    Some(terms().fold(linear.constant, |sum, (x, coefficient)| sum + coefficient * x))
}

/// A row's contributions to each margin, and the base last: Shapley values by their definition, over all coalitions of
/// features, of the game in which a tree goes both ways, by cover, where the feature asked is not of the coalition.
pub fn contributions(model: &Model, row: &[f64]) -> Vec<Vec<f64>> {
    let features = model.n_features();
    let numbers: Vec<f64> = if model.columns().is_empty() {
        row.to_vec()
    } else {
        model.columns().iter().map(|column| column.double(row[column.feature as usize])).collect()
    };
    let worth: Vec<Vec<f64>> = (0..1_usize << features).map(|coalition| worth(model, &numbers, coalition)).collect();
    let mut factorials = vec![1.0];
    (1..=features).for_each(|n| factorials.push(factorials[n - 1] * n as f64));
    let of = |feature: usize, margin: usize| {
        let without = (0..worth.len()).filter(|coalition| coalition >> feature & 1 == 0);
        let gains = without.map(|coalition| {
            let size = coalition.count_ones() as usize;
            let weight = factorials[size] * factorials[features - size - 1] / factorials[features];
            weight * (worth[coalition | 1 << feature][margin] - worth[coalition][margin])
        });
        gains.sum::<f64>()
    };
    let shift = |margin: usize| match &model.sum().finish {
        Finish::ScaleAndShift { shift, .. } | Finish::DivideAndShift { shift, .. } => shift[margin],
        _ => 0.0,
    };
    let scale = |sum: f64| match &model.sum().finish {
        Finish::Nothing => sum,
        Finish::Divide(by) | Finish::DivideAndShift { by, .. } => sum / by,
        Finish::ScaleAndShift { scale, .. } => sum * scale,
    };
    let margin = |margin: usize| {
        let base = scale(model.sum().start[margin] + worth[0][margin]) + shift(margin);
        (0..features).map(|feature| scale(of(feature, margin))).chain([base]).collect()
    };
    (0..model.n_margins()).map(margin).collect()
}

/// What the trees sum to for each margin if only these features are known.
fn worth(model: &Model, row: &[f64], coalition: usize) -> Vec<f64> {
    let mut sums = vec![0.0; model.n_margins()];
    for tree in model.trees() {
        let mut waiting = vec![(0, 1.0)];
        while let Some((at, weight)) = waiting.pop() {
            match &tree.nodes()[at as usize] {
                Node::Leaf(leaf) => {
                    let targets = tree.target().map_or(0..sums.len(), |target| target..target + 1);
                    let values = &tree.values()[*leaf as usize * targets.len()..];
                    targets.zip(values).for_each(|(target, value)| sums[target] += weight * value);
                }
                Node::Split(split) => {
                    let feature = model.columns().get(split.column as usize).map_or(split.column, |of| of.feature);
                    if coalition >> feature & 1 == 1 {
                        waiting.push((if left(model, tree, split, row) { split.left } else { split.right }, weight));
                        continue;
                    }
                    let cover = |node: u32| tree.cover()[node as usize];
                    let part = |to: u32| if cover(at) == 0.0 { 0.5 } else { cover(to) / cover(at) };
                    waiting.extend([split.left, split.right].map(|to| (to, weight * part(to))));
                }
            }
        }
    }
    sums
}
