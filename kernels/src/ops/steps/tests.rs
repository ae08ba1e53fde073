use super::*;

fn row(row: usize, set: Option<usize>) -> SampleRow {
    SampleRow { row, set, seed: 1, candidate: 0, canvas_row: row as u32 + 4 }
}

#[test]
fn rows_remember_what_they_name() {
    let device = Device::emulator();
    let mut rows = SampleRows::new(&device, 3).unwrap();
    assert!(rows.is_empty());
    rows.write(&[row(7, None), row(2, Some(1))]).unwrap();
    assert_eq!((rows.len(), rows.packed_rows(), rows.canvas_rows(), rows.sets()), (2, 8, 12, 2));
    let records = rows.records().read().unwrap();
    assert_eq!((records[0].set, records[1].set, records[1].row), (NO_SET, 1, 2));
    assert!(matches!(rows.write(&[row(0, None); 4]), Err(Error::Shape { .. })));
    assert!(matches!(rows.write(&[SampleRow { row: usize::MAX, ..row(0, None) }]), Err(Error::Shape { .. })));
}

#[test]
fn sets_count_their_members() {
    let device = Device::emulator();
    let sets = TokenSets::upload(&device, &[&[5, 1], &[u64::MAX, 63]], 70).unwrap();
    assert_eq!((sets.len(), sets.words_per_set(), sets.is_empty()), (2, 2, false));
    assert_eq!(sets.ranks().read().unwrap(), [0, 2, 3, 0, 64, 70]);
    assert_eq!(sets.words().read().unwrap(), [5, 1, u64::MAX, 63]);
    for refused in [&[5][..], &[5, 64]] {
        assert!(matches!(TokenSets::upload(&device, &[refused], 70), Err(Error::Shape { .. })));
    }
}

#[test]
fn lists_have_room_for_so_many_and_votes_an_end() {
    let device = Device::emulator();
    let mut lists = TokenLists::new(&device, 2, 30).unwrap();
    let many: Vec<(u32, f32)> = (0..29).map(|token| (token, 0.01)).collect();
    lists.write_votes(&[many.clone(), vec![(99, 0.5)]]).unwrap();
    assert_eq!((lists.rows(), lists.tokens(), lists.vocabulary_least()), (2, ROW_VOTES_MAX + 1, 100));
    assert!(lists.are_votes());
    assert_eq!(lists.from.as_slice().read().unwrap(), [0, 24, 25]);
    lists.write_tokens(&[vec![3; 29]]).unwrap();
    assert_eq!((lists.rows(), lists.tokens(), lists.are_votes()), (1, 29, false));
    assert!(matches!(lists.write_tokens(&[vec![3; 31]]), Err(Error::Shape { .. })));
    assert!(matches!(lists.write_tokens(&[vec![], vec![], vec![]]), Err(Error::Shape { .. })));
}
